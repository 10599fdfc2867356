"""What a variant answered to the items of a task, the metrics of these answers, and their compact records."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from liar.results import Figure, Items
from liar.statistics.paired import stderr_of, value_of
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Sample


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers of one variant to ``samples``, or its ``perplexity`` on windows of running text, which have no samples.

    ``answers`` are words for display, ``right`` which of them are right (None if answers are numbers). ``labels`` are the
    right answers in words. ``cut``: items whose text was cut, None for windows. ``available``: number of
    items in the source, None if it is known from elsewhere. ``metrics`` are set if the task does not name its own.
    """

    samples: Sequence[Sample]
    items: Items
    answers: list[str]
    labels: list[str]
    right: list[bool] | None
    cut: int | None = 0
    perplexity: Figure | None = None
    available: int | None = None
    metrics: tuple[MetricName, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of items or windows."""
        return len(self.answers if self.items.nll is None else self.items.nll)

    @property
    def majority(self) -> float | None:
        """Share of the most frequent label; None if answers are numbers or no two items share a label."""
        if self.right is None or any(sample.answers or sample.endings for sample in self.samples):
            return None
        return Counter(self.labels).most_common(1)[0][1] / len(self.labels)

    def figures(self, metrics: Sequence[MetricName]) -> list[Figure]:
        """Value and standard error of each of ``metrics``."""
        if self.perplexity is not None:
            return [self.perplexity]
        items, n = self.items, self.n
        return [
            Figure(metric=metric, value=value_of(metric, items, n), stderr=stderr_of(metric, items, n))
            for metric in metrics
        ]


Steps = Generator[tuple[int, int], None, Outcome]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


def digest_of_samples(samples: Sequence[Sample], labels: Sequence[str]) -> str:
    """Equal for equal texts, pairs and labels in the same order."""
    read: list[list[str]] = [[sample.text for sample in samples], [label.casefold() for label in labels]]
    if any(sample.pair is not None for sample in samples):
        read.append([sample.pair or "" for sample in samples])
    if any(sample.endings for sample in samples):
        read.append([ending for sample in samples for ending in sample.endings])
    return digest(json.dumps(read).encode())


def digest(content: bytes) -> str:
    """A short name of ``content``, equal for equal ones."""
    return hashlib.sha256(content).hexdigest()[:16]
