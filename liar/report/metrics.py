"""The metrics: direction, display and name of each, and which of them a task is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10

from liar.results import MaskCell, MetricName
from liar.spec import Task


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is read and written.

    ``of_windows``: its items are windows of running text, otherwise labelled texts. ``by_ratio``: two values compare by their
    ratio, otherwise by their difference. A value in ``percent`` is displayed as 100 times what is stored.
    """

    name: MetricName
    lower_is_better: bool
    percent: bool
    of_windows: bool
    by_ratio: bool

    @property
    def better(self) -> str:
        return "lower is better" if self.lower_is_better else "higher is better"

    @property
    def scale(self) -> int:
        """Factor between the stored and the displayed value."""
        return 100 if self.percent else 1

    def title(self, task: Task) -> str:
        """``perplexity``, or ``sentiment accuracy`` for a metric that several tasks share."""
        return self.name if task == self.name else f"{task} {self.name}"

    def words(self, value: float) -> str:
        """``86.1 %``; other metrics with one decimal, or none from 1,000 on."""
        if self.percent:
            return f"{100 * value:.1f} %"
        return f"{value:.1f}" if value < 1_000 else f"{value:,.0f}"

    def loss(self, before: float, after: float) -> float:
        """How much worse ``after`` is than ``before``; negative if it is better."""
        return after - before if self.lower_is_better else before - after

    def merit(self, value: float) -> float:
        """A number that grows as the metric gets better, on the scale on which two values compare."""
        compared = log10(value) if self.by_ratio else value
        return -compared if self.lower_is_better else compared


METRICS: Mapping[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("perplexity", lower_is_better=True, percent=False, of_windows=True, by_ratio=True),
        Metric("accuracy", lower_is_better=False, percent=True, of_windows=False, by_ratio=False),
    )
}

TASK_METRICS: Mapping[Task, Metric] = {
    "perplexity": METRICS["perplexity"],
    "sentiment": METRICS["accuracy"],
    "topic": METRICS["accuracy"],
}


def cell_words(cell: MaskCell) -> tuple[str, str] | None:
    """The metric of a cell of a mask table and its standard error; None if it was not measured."""
    if cell.task is None or cell.value is None or cell.stderr is None:
        return None
    metric = TASK_METRICS[cell.task]
    return metric.words(cell.value), metric.words(cell.stderr)
