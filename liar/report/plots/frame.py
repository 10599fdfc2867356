"""Colours, fonts and frames that all figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from liar.choices import REPAIRS
from liar.results import MeasuredVariant

# Palette of Okabe and Ito, distinguishable with any colour vision. The variants have these colours in all figures;
# a quantized copy has a lighter tint.
VARIANT_COLOURS: dict[MeasuredVariant, str] = {
    "dense": "#7a8190",
    "dense-int8": "#b3b8c2",
    "pruned": REPAIRS["none"].colour,
    "reconstructed": REPAIRS["least-squares"].colour,
    "reconstructed-int8": "#66a9d1",
}

STANDOFF = {"ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)"}
"""Invisible ticks that keep the labels of an axis away from the plot."""

TOP = 48
"""Top margin in pixels: Gradio lays a component's label over the first pixels of a figure."""

BARE = {"showgrid": False, "zeroline": False, "fixedrange": True}
"""An axis without lines."""

WHISKERS = {"type": "data", "thickness": 1.2, "width": 4}
"""Error bars."""

COLOUR_BAR = {"orientation": "h", "thickness": 10, "outlinewidth": 0, "yanchor": "top"}
"""A colour bar below the plot, to leave the width of a narrow page to the plot."""

TYPEFACE = "IBM Plex Sans"
FONTS = (TYPEFACE, "system-ui", "sans-serif")
"""Typeface of the page, the reports and the course, and what replaces it."""

FONT = {"family": ", ".join(FONTS), "size": 13}
GRID = "rgba(128,128,128,.22)"

LINE = "rgba(128,128,128,.9)"
"""Colour of dividers and marks, visible on a light and on a dark background."""

SMALLEST_ERROR = 1e-6
"""Replaces smaller errors, also zero, in ratios and logarithms."""

DIVERGING = [[0.0, "#d55e00"], [0.25, "#edab7c"], [0.5, "#f2f2f2"], [0.75, "#79b2d6"], [1.0, "#0072b2"]]
"""Vermilion: the second of two is worse; blue: it is better."""


def drawing(
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    *,
    drawn: int,
    bottom: int,
    left: int,
    right: int,
    top: int = TOP,
) -> go.Figure:
    """Figure from plain dicts, whose plots without margins are ``drawn`` pixels high.

    Fast enough to redraw while a slider moves, without ``make_subplots`` (30 ms) and without plotly's validation, so only a
    test that validates it finds a misspelt property. Its paper is transparent, to show the page's light or dark background.
    """
    common = {
        "height": top + drawn + bottom,
        "autosize": True,
        "margin": {"l": left, "r": right, "t": top, "b": bottom},
        "font": FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "bgcolor": "#1e293b", "bordercolor": "#64748b", "font": {"color": "white"}},
        "dragmode": False,
    }
    return go.Figure(data, {**layout, **common}, _validate=False)


def title(words: str, y: float = 1.0) -> dict[str, Any]:
    """Title at the left edge above a plot whose upper end lies at ``y`` in paper coordinates."""
    return {
        "text": words,
        "x": 0,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "showarrow": False,
    }


def axis(words: str, standoff: int = 8, **more: Any) -> dict[str, Any]:
    """Axis with the title ``words`` and ``more`` properties, for :func:`drawing`."""
    heading = {"text": words, "font": FONT, "standoff": standoff}
    return {"title": heading, "gridcolor": GRID, "zeroline": False, "fixedrange": True, **more}


def legend(y: float) -> dict[str, Any]:
    """Legend below the plot, its upper end at ``y`` in paper coordinates."""
    return {"orientation": "h", "y": y, "yanchor": "top", "x": 0}


def vertical(x: float) -> dict[str, Any]:
    """Dashed line over the whole height at ``x``, for :func:`drawing`."""
    line = {"color": LINE, "width": 2, "dash": "dash"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def scatter(x: Sequence[Any], y: Sequence[Any], mode: str, hover: str, **more: Any) -> dict[str, Any]:
    """Lines or marks, for :func:`drawing`, with the template ``hover`` of their text on hover."""
    return {"type": "scatter", "x": x, "y": y, "mode": mode, "hovertemplate": f"{hover}<extra></extra>", **more}


def cells(x: Sequence[Any], y: Sequence[Any], z: Sequence[Any], words: Sequence[Any], **more: Any) -> dict[str, Any]:
    """Cells of a map, for :func:`drawing`: the first of the ``words`` of a cell is its text on hover."""
    hover = {"customdata": words, "hovertemplate": "%{customdata[0]}<extra></extra>"}
    return {"type": "heatmap", "x": x, "y": y, "z": z, **hover, "xgap": 1, "ygap": 1, **more}


def outlines(x: int, y: int, axis: str = "y") -> list[dict[str, Any]]:
    """A white line within a black one around the cell at ``x`` and ``y``, visible on every cell, light page and dark page."""
    box = {"type": "rect", "xref": "x", "yref": axis, "x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return [{**box, "line": {"color": colour, "width": width}} for colour, width in (("black", 4), ("white", 1.5))]


def empty(words: str) -> go.Figure:
    text = {"text": words, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    layout = {"annotations": [text], "xaxis": {"visible": False}, "yaxis": {"visible": False}}
    return drawing([], layout, drawn=60, bottom=24, left=8, right=8)
