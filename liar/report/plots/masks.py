"""Table of criteria and reconstructions, coloured by metric or error."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import plotly.graph_objects as go

from liar.report.plots.frame import SMALLEST_ERROR, STANDOFF, empty, framed, title
from liar.report.words.mask_cells import cell_words, metric_of
from liar.results import MaskCell
from liar.spec import Criterion, Reconstruction


def mask_heatmap(
    cells: Sequence[MaskCell], criteria: Sequence[Criterion], reconstructions: Sequence[Reconstruction]
) -> go.Figure:
    """Criteria as rows, reconstructions as columns; a deeper colour is better. Missing cells stay empty.

    A cell shows the mean error of the sites, and the metric with its standard error if it was measured.
    The colours are translucent, so that the page's own text colour is readable on all of them.
    """
    if not cells or not criteria or not reconstructions:
        return empty("No cell is computed yet.")
    at = {(cell.criterion, cell.reconstruction): cell for cell in cells}
    grid = [[at.get((criterion, name)) for name in reconstructions] for criterion in criteria]
    drawn = 62 * len(criteria)
    figure = go.Figure(
        go.Heatmap(
            x=[name.replace("-", "-<br>") for name in reconstructions],
            y=list(criteria),
            z=[[_goodness(cell) if cell else None for cell in line] for line in grid],
            text=[[_cell_words(cell) if cell else "" for cell in line] for line in grid],
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=[[_cell_hover(cell) if cell else "" for cell in line] for line in grid],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0.0, "rgba(0,114,178,0.04)"], [1.0, "rgba(0,114,178,0.5)"]],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(side="top", fixedrange=True, showgrid=False, zeroline=False, tickangle=0)
    figure.update_yaxes(
        autorange="reversed", fixedrange=True, showgrid=False, zeroline=False, automargin=True, **STANDOFF
    )
    figure.add_annotation(title("mask by ↓, repaired by →", y=1.0) | {"yshift": 38})
    return framed(figure, drawn=drawn + 24, bottom=8, left=8, right=8).update_layout(
        margin={"t": 76}, height=drawn + 108
    )


def _goodness(cell: MaskCell) -> float:
    """Position on the colour scale, higher is better; perplexities and errors are compared by their ratios."""
    metric = metric_of(cell)
    if metric is None or cell.value is None:
        return -log10(max(cell.error, SMALLEST_ERROR))
    return metric.merit(cell.value)


def _cell_words(cell: MaskCell) -> str:
    error = f"error {cell.error:.2g}"
    measured = cell_words(cell)
    return error if measured is None else f"<b>{measured[0]}</b><br>± {measured[1]}<br>{error}"


def _cell_hover(cell: MaskCell) -> str:
    lines = [f"<b>{cell.criterion} masks, {cell.reconstruction}</b>", f"mean error of the sites {cell.error:.4g}"]
    metric, measured = metric_of(cell), cell_words(cell)
    if metric is not None and measured is not None:
        value, stderr = measured
        lines.insert(1, f"{metric.title} {value} ± {stderr} (one standard error, n = {cell.n:,})")
    return "<br>".join(lines)
