"""What all figures share: colours, fonts, frames. Transparent paper, so that the page's light or dark ground shows through."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from liar.results import Measured
from liar.spec import Reconstruction

# Okabe and Ito's palette: told apart with any colour vision. Grey for what was, vermilion for the damage, blue for the
# repair; the same three wherever the variants stand side by side, and a lighter tint for a rounded copy.
VARIANT_COLOURS: dict[Measured, str] = {
    "dense": "#7a8190",
    "dense-int8": "#b3b8c2",
    "pruned": "#d55e00",
    "reconstructed": "#0072b2",
    "reconstructed-int8": "#66a9d1",
}

RECONSTRUCTION_COLOURS: dict[Reconstruction, str] = {
    "none": VARIANT_COLOURS["pruned"],
    "bias": "#cc79a7",
    "liar": "#009e73",
    "least-squares": VARIANT_COLOURS["reconstructed"],
}
RECONSTRUCTION_DASHES: dict[Reconstruction, str] = {
    "none": "dot",
    "bias": "dash",
    "liar": "dashdot",
    "least-squares": "solid",
}

STANDOFF = {"ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)"}
"""Invisible ticks that keep the names of an axis off the plot."""

TOP = 48
"""Gradio lays a component's label over the first pixels of a figure."""

FONT = {"family": "IBM Plex Sans, system-ui, -apple-system, Segoe UI, sans-serif", "size": 13}
GRID = "rgba(128,128,128,.22)"

SMALLEST_ERROR = 1e-6
"""What stands for an error of zero where errors are divided or their logarithm is drawn."""

DIVERGING = [[0.0, "#d55e00"], [0.25, "#edab7c"], [0.5, "#f2f2f2"], [0.75, "#79b2d6"], [1.0, "#0072b2"]]
"""From vermilion (the second of two is worse) to blue (it is better)."""


def flush_left(figure: go.Figure, titles: int, shift: int) -> None:
    """Subplot titles are the first annotations; they read better at the left edge than centred."""
    for annotation in figure.layout.annotations[:titles]:
        annotation.update(x=0, xanchor="left", align="left", xshift=shift, font=FONT)


def framed(figure: go.Figure, drawn: int, bottom: int, left: int, right: int) -> go.Figure:
    """What all figures share: transparent paper, so that the page's light or dark ground shows through.

    ``drawn`` is the height of the plots themselves in pixels; the margins come on top.
    """
    figure.update_layout(**_frame(drawn, bottom, left, right))
    return figure


def drawing(
    data: list[dict[str, Any]], layout: dict[str, Any], *, drawn: int, bottom: int, left: int, right: int
) -> go.Figure:
    """A framed figure of plain dicts, for what is redrawn while a slider moves: neither ``make_subplots`` (30 ms) nor
    plotly's validation stands in the way, so a misspelt property shows only in a test that validates the figure.
    """
    return go.Figure(data, {**layout, **_frame(drawn, bottom, left, right)}, _validate=False)


def title(words: str, y: float = 1.0) -> dict[str, Any]:
    """Annotation at the left edge above a plot whose upper end lies at ``y`` of the paper."""
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
        "font": FONT,
    }


def _frame(drawn: int, bottom: int, left: int, right: int) -> dict[str, Any]:
    return {
        "height": TOP + drawn + bottom,
        "autosize": True,
        "margin": {"l": left, "r": right, "t": TOP, "b": bottom},
        "font": FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "bgcolor": "#1e293b", "bordercolor": "#64748b", "font": {"color": "white"}},
        "dragmode": False,
    }


def empty(words: str) -> go.Figure:
    figure = go.Figure()
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return framed(figure, drawn=60, bottom=24, left=8, right=8)
