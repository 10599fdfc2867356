"""What a variant answered to the items of a task, and the metrics of these answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_stat_scores
from torchmetrics.functional.regression import pearson_corrcoef

from liar.report.paired import bits, ranks, scores_of, stderr_of
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
    return _NO_MEANS[metric](items, n)


# -- metrics that are no means -----------------------------------------------------------------------------------------
#
# Counts and the correlation are those of torchmetrics; its F1 and Matthews correlation round to single precision, and its
# Spearman correlation adds 1e-6 to the divisor. Zero if the divisor is, as in scikit-learn.


def _f1(items: Items, n: int) -> float:
    tp, fp, _, fn = _counts(items, n)
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def _matthews(items: Items, n: int) -> float:
    tp, fp, tn, fn = _counts(items, n)
    squared = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(squared) if squared else 0.0


def _pearson(items: Items, n: int) -> float:
    return _correlation(
        torch.tensor(items.predicted, dtype=torch.double), torch.tensor(items.wanted, dtype=torch.double)
    )


def _spearman(items: Items, n: int) -> float:
    once = np.ones((1, n))
    predicted, wanted = (ranks(np.array(numbers), once)[0] for numbers in (items.predicted, items.wanted))
    return _correlation(torch.from_numpy(predicted), torch.from_numpy(wanted))


def _counts(items: Items, n: int) -> list[int]:
    """True and false positives, true and false negatives; the second of two classes is the positive one."""
    assert items.right is not None
    assert items.positive is not None
    right, positive = torch.tensor(bits(items.right, n)), torch.tensor(bits(items.positive, n))
    counts: list[int] = binary_stat_scores((positive == right).long(), positive.long()).tolist()
    return counts[:4]


def _correlation(predicted: Tensor, wanted: Tensor) -> float:
    centred = [numbers - numbers.mean() for numbers in (predicted, wanted)]
    largest = [float(numbers.abs().max()) for numbers in centred]
    if any((numbers == numbers[0]).all() for numbers in (predicted, wanted)) or not all(largest):
        return 0.0
    # Some versions of torchmetrics give NaN for small numbers.
    return float(pearson_corrcoef(*(numbers / most for numbers, most in zip(centred, largest, strict=True))))


_NO_MEANS: Mapping[MetricName, Callable[[Items, int], float]] = {
    "f1": _f1,
    "matthews": _matthews,
    "spearman": _spearman,
    "pearson": _pearson,
}
