"""What a variant answered to the items of a task, and the metrics of these answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_f1_score, binary_matthews_corrcoef
from torchmetrics.functional.regression import pearson_corrcoef, spearman_corrcoef

from liar.report.paired import bits, scores_of, stderr_of
from liar.results import Figure, Items
from liar.tasks.items import Sample
from liar.tasks.metrics import MetricName


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers of one variant to ``samples``.

    ``answers`` are words for display, ``right`` which of them are right (None if answers are numbers). ``labels`` are the
    right answers in words. ``cut``: items whose text was cut. ``available``: number of
    items in the source, None if it is known from elsewhere. ``metrics`` are set if the task does not name its own.
    """

    samples: Sequence[Sample]
    items: Items
    answers: list[str]
    labels: list[str]
    right: list[bool] | None
    cut: int = 0
    available: int | None = None
    metrics: tuple[MetricName, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def majority(self) -> float | None:
        """Share of the most frequent label; None if answers are numbers or no two items share a label."""
        if self.right is None or any(sample.answers or sample.endings for sample in self.samples):
            return None
        return Counter(self.labels).most_common(1)[0][1] / len(self.labels)

    def figures(self, metrics: Sequence[MetricName]) -> list[Figure]:
        """Value and standard error of each of ``metrics``."""
        n = len(self.answers)
        return [
            Figure(metric=metric, value=_value(metric, self.items, n), stderr=stderr_of(metric, self.items, n))
            for metric in metrics
        ]


Steps = Generator[tuple[int, int], None, Outcome]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


def _value(metric: MetricName, items: Items, n: int) -> float:
    if (scores := scores_of(metric, items, n)) is not None:
        return fmean(scores)
    return float(_TORCHMETRICS[metric](*_CLASSES_OR_NUMBERS[metric](items, n)))


def _classes(items: Items, n: int) -> tuple[Tensor, Tensor]:
    """Predicted and true classes (n,), the second of two being 1."""
    assert items.right is not None
    assert items.positive is not None
    right, positive = torch.tensor(bits(items.right, n)), torch.tensor(bits(items.positive, n))
    return (positive == right).long(), positive.long()


def _numbers(items: Items, n: int) -> tuple[Tensor, Tensor]:
    """Predicted and true numbers (n,), fp64."""
    return torch.tensor(items.predicted).double(), torch.tensor(items.wanted).double()


_TORCHMETRICS: Mapping[MetricName, Callable[[Tensor, Tensor], Tensor]] = {
    "f1": binary_f1_score,
    "matthews": binary_matthews_corrcoef,
    "spearman": spearman_corrcoef,
    "pearson": pearson_corrcoef,
}
_CLASSES_OR_NUMBERS: Mapping[MetricName, Callable[[Items, int], tuple[Tensor, Tensor]]] = {
    "f1": _classes,
    "matthews": _classes,
    "spearman": _numbers,
    "pearson": _numbers,
}
