"""Two maps of texts, with an arrow from where a text lies for the dense model to where it lies for a smaller one."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

from liar.report.plots.frame import BARE, VARIANT_COLOURS, drawing, scatter, title
from liar.report.words.metric_sentences import variant_name
from liar.results import TextMap, Variant

_HEIGHT, _GAP = 330, 46


def text_map_figure(found: TextMap) -> go.Figure:
    """The pruned and the reconstructed model below each other, on the same axes."""
    moved: list[Variant] = [variant for variant in ("pruned", "reconstructed") if variant in found.points]
    points = [point for each in found.points.values() for point in each]
    ranges = [[min(values) - 0.05, max(values) + 0.05] for values in zip(*points, strict=True)]
    drawn = len(moved) * (_HEIGHT + _GAP) - _GAP
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "annotations": []}
    for row, variant in enumerate(moved):
        number = str(row + 1) if row else ""
        end = (drawn - row * (_HEIGHT + _GAP)) / drawn
        layout |= {
            f"xaxis{number}": {**BARE, "range": ranges[0], "anchor": f"y{number}", "showticklabels": False},
            f"yaxis{number}": {
                **BARE,
                "range": ranges[1],
                "domain": [end - _HEIGHT / drawn, end],
                "anchor": f"x{number}",
                "showticklabels": False,
            },
        }
        layout["annotations"].append(title(f"{variant_name(variant).capitalize()}: where each text moved", end))
        data += _arrows(found, variant, {"xaxis": f"x{number}", "yaxis": f"y{number}"})
    return drawing(data, layout, drawn=drawn, bottom=24, left=8, right=8)


def _arrows(found: TextMap, variant: Variant, axes: dict[str, str]) -> list[dict[str, Any]]:
    pairs = list(zip(found.points["dense"], found.points[variant], strict=True))
    words = [escape(text) for text in found.texts]
    x, y = ([value for pair in pairs for value in (pair[0][axis], pair[1][axis], None)] for axis in (0, 1))
    hover = {"text": words, "hovertemplate": "%{text}<extra></extra>"}
    arrow = {"symbol": "arrow", "angleref": "previous", "size": [0, 9, 0] * len(pairs), "opacity": 1}
    line = {"width": 1.2, "color": VARIANT_COLOURS[variant]}
    ends, starts = ([pair[place] for pair in pairs] for place in (1, 0))
    return [
        scatter(
            x, y, "lines+markers", "", line=line, marker={**arrow, "color": VARIANT_COLOURS[variant]}, hoverinfo="skip"
        )
        | axes,
        scatter(
            [p[0] for p in starts],
            [p[1] for p in starts],
            "markers",
            "",
            marker={"size": 5, "color": VARIANT_COLOURS["dense"]},
        )
        | axes
        | hover,
        scatter([p[0] for p in ends], [p[1] for p in ends], "markers", "", marker={"size": 9, "color": "rgba(0,0,0,0)"})
        | axes
        | hover,
    ]
