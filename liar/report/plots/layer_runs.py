"""Map of the runs of layers that a removal tried: first layer by length, coloured by the error that the patch leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import log10
from typing import Any

import plotly.graph_objects as go

from liar.report.plots.frame import SMALLEST_ERROR, axis, drawing, title
from liar.report.plots.heatmap import SAME_ERRORS, coloraxis, layer_ticks
from liar.report.view import HeatmapView
from liar.report.words.site_sentences import error_words
from liar.results import TriedRun

_VIEW = HeatmapView(weighting="norm-aware")

_CELL = 22
"""Height of a length in pixels."""


def layer_runs(
    tried: Sequence[TriedRun], removed: Collection[int] = (), *, about: Mapping[str, str] | None = None
) -> go.Figure:
    """First layer by number of layers; the run that went, the layers ``removed``, is outlined.

    ``customdata`` of a cell holds its text; ``about`` is stored as ``layout.meta``.
    """
    errors = {(run.first, run.layers): run.norm_aware_error for run in tried}
    firsts = sorted({first for first, _ in errors})
    lengths = sorted({length for _, length in errors})
    drawn = max(_CELL * len(lengths), 150)
    data = [
        {
            "type": "heatmap",
            "x": firsts,
            "y": lengths,
            "z": [[_colour(errors.get((first, length))) for first in firsts] for length in lengths],
            "customdata": [
                [[_words(first, length, errors.get((first, length)))] for first in firsts] for length in lengths
            ],
            "hovertemplate": "%{customdata[0]}<extra></extra>",
            "hoverongaps": False,
            "coloraxis": "coloraxis",
            "xgap": 1,
            "ygap": 1,
        }
    ]
    layout: dict[str, Any] = {
        "xaxis": axis("first layer that goes", showgrid=False, dtick=layer_ticks(firsts)),
        "yaxis": axis("layers in a row", showgrid=False, dtick=max(1, len(lengths) // 8)),
        "coloraxis": coloraxis(_VIEW, SAME_ERRORS["log"], -84 / drawn),
        "meta": dict(about or {}),
        "annotations": [title("<b>What a patch leaves of each run of layers</b>")],
        "shapes": _outline(removed),
    }
    return drawing(data, layout, drawn=drawn, bottom=136, left=60, right=10)


def _colour(error: float | None) -> float | None:
    return None if error is None else log10(max(error, SMALLEST_ERROR))


def _words(first: int, length: int, error: float | None) -> str:
    layers = f"layer {first}" if length == 1 else f"layers {first} to {first + length - 1}"
    return f"{layers}: error {error_words(error)}"


def _outline(removed: Collection[int]) -> list[dict[str, Any]]:
    """A white line within a black one around the run that went, visible on every cell."""
    if not removed:
        return []
    x, y = min(removed), len(removed)
    return [
        {
            "type": "rect",
            "x0": x - 0.5,
            "x1": x + 0.5,
            "y0": y - 0.5,
            "y1": y + 0.5,
            "line": {"color": colour, "width": width},
        }
        for colour, width in (("black", 4), ("white", 1.5))
    ]
