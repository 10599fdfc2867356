"""Map of the runs of layers that a removal tried: first layer by length, coloured by the error that the patch leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import log10
from typing import Any

import plotly.graph_objects as go

from liar.report.plots.frame import SMALLEST_ERROR, axis, cells, drawing, outlines, title
from liar.report.plots.heatmap import SAME_ERRORS, coloraxis, layer_ticks
from liar.report.view import View
from liar.report.words.findings import named
from liar.report.words.site_sentences import error_words
from liar.results import TriedRun

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
    grid = [[errors.get((first, length)) for first in firsts] for length in lengths]
    colours = [[None if error is None else log10(max(error, SMALLEST_ERROR)) for error in line] for line in grid]
    words = [
        [
            [f"{named(range(first, first + length))}: error {error_words(error)}"]
            for first, error in zip(firsts, line, strict=True)
        ]
        for length, line in zip(lengths, grid, strict=True)
    ]
    layout: dict[str, Any] = {
        "xaxis": axis("first layer that goes", showgrid=False, dtick=layer_ticks(firsts)),
        "yaxis": axis("layers in a row", showgrid=False, dtick=max(1, len(lengths) // 8)),
        "coloraxis": coloraxis(View(weighting="norm-aware"), SAME_ERRORS["log"], -84 / drawn),
        "meta": dict(about or {}),
        "annotations": [title("<b>What a patch leaves of each run of layers</b>")],
        "shapes": outlines(min(removed), len(removed)) if removed else [],
    }
    data = cells(firsts, lengths, colours, words, hoverongaps=False, coloraxis="coloraxis")
    return drawing([data], layout, drawn=drawn, bottom=136, left=60, right=10)
