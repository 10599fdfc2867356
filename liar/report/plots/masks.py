"""Table of criteria and reconstructions, coloured by metric or error."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import plotly.graph_objects as go

from liar.choices import Criterion, Reconstruction
from liar.report.plots.frame import BARE, SMALLEST_ERROR, STANDOFF, cells, drawing, empty, title
from liar.results import MaskCell
from liar.tasks.metrics import METRICS, Metric
from liar.tasks.registry import task_named


def mask_heatmap(
    table: Sequence[MaskCell], criteria: Sequence[Criterion], reconstructions: Sequence[Reconstruction]
) -> go.Figure:
    """Criteria as rows, reconstructions as columns; a deeper colour is better. Missing cells stay empty.

    A cell shows the mean error of the sites, and the metric with its standard error if it was measured.
    The colours are translucent, so that the page's own text colour is readable on all of them.
    """
    if not table or not criteria or not reconstructions:
        return empty("No cell is computed yet.")
    at = {(cell.criterion, cell.reconstruction): cell for cell in table}
    grid = [[at.get((criterion, name)) for name in reconstructions] for criterion in criteria]
    data = cells(
        [name.replace("-", "-<br>") for name in reconstructions],
        criteria,
        [[_goodness(cell) if cell else None for cell in line] for line in grid],
        [[[_cell_hover(cell) if cell else ""] for cell in line] for line in grid],
        text=[[_cell_text(cell) if cell else "" for cell in line] for line in grid],
        texttemplate="%{text}",
        textfont={"size": 11},
        hoverongaps=False,
        colorscale=[[0.0, "rgba(0,114,178,0.04)"], [1.0, "rgba(0,114,178,0.5)"]],
        showscale=False,
        xgap=2,
        ygap=2,
    )
    layout = {
        "xaxis": {**BARE, "side": "top", "tickangle": 0},
        "yaxis": {**BARE, "autorange": "reversed", "automargin": True, **STANDOFF},
        "annotations": [title("mask by ↓, repaired by →") | {"yshift": 38}],
    }
    return drawing([data], layout, drawn=62 * len(criteria) + 24, bottom=8, left=8, right=8, top=76)


def cell_words(cell: MaskCell) -> tuple[str, str] | None:
    """The metric of a cell and its standard error in words; None if it was not measured."""
    metric = _metric_of(cell)
    if metric is None or cell.value is None or cell.stderr is None:
        return None
    return metric.words(cell.value), metric.words(cell.stderr)


def _metric_of(cell: MaskCell) -> Metric | None:
    """The metric that was measured for a cell; None if none was. Files of earlier versions name only the task."""
    if cell.task is None or cell.value is None:
        return None
    return METRICS[cell.metric] if cell.metric is not None else task_named(cell.task).metric


def _goodness(cell: MaskCell) -> float:
    """Position on the colour scale, higher is better; perplexities and errors are compared by their ratios."""
    metric = _metric_of(cell)
    if metric is None or cell.value is None:
        return -log10(max(cell.error, SMALLEST_ERROR))
    return metric.merit(cell.value)


def _cell_text(cell: MaskCell) -> str:
    error = f"error {cell.error:.2g}"
    measured = cell_words(cell)
    return error if measured is None else f"<b>{measured[0]}</b><br>± {measured[1]}<br>{error}"


def _cell_hover(cell: MaskCell) -> str:
    lines = [f"<b>{cell.criterion} masks, {cell.reconstruction}</b>", f"mean error of the sites {cell.error:.4g}"]
    metric, measured = _metric_of(cell), cell_words(cell)
    if metric is not None and measured is not None:
        value, stderr = measured
        lines.insert(1, f"{metric.title} {value} ± {stderr} (one standard error, n = {cell.n:,})")
    return "<br>".join(lines)
