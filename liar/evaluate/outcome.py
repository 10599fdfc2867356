"""What a variant answered to the items of a task, and the metrics of these answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from liar.results import Figure, Items
from liar.statistics.paired import stderr_of, value_of
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Sample


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
            Figure(metric=metric, value=value_of(metric, self.items, n), stderr=stderr_of(metric, self.items, n))
            for metric in metrics
        ]


Steps = Generator[tuple[int, int], None, Outcome]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""
