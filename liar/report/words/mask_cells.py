"""The metric of a cell of a mask table."""

from __future__ import annotations

from liar.results import MaskCell
from liar.tasks.metrics import METRICS, Metric
from liar.tasks.registry import task_named


def metric_of(cell: MaskCell) -> Metric | None:
    """The metric that was measured for a cell; None if none was. Files of earlier versions name only the task."""
    if cell.task is None or cell.value is None:
        return None
    return METRICS[cell.metric] if cell.metric is not None else task_named(cell.task).metric


def cell_words(cell: MaskCell) -> tuple[str, str] | None:
    """The metric of a cell and its standard error in words; None if it was not measured."""
    metric = metric_of(cell)
    if metric is None or cell.value is None or cell.stderr is None:
        return None
    return metric.words(cell.value), metric.words(cell.stderr)
