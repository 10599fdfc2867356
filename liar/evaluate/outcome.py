"""What a variant answered to the items of a task, the metrics of these answers, and their compact records.

:func:`changes_of` finds the items on which the variants disagree: examples behind a change of accuracy.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from liar.results import CHANGE_GROUPS, MOST_CHANGES, VARIANTS, Change, Figure, Items, MeasuredVariant
from liar.statistics.paired import stderr_of, value_of
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Sample

_LONGEST = 400
"""Characters of a text that a change keeps: enough to judge its answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers of one variant to ``samples``, or its ``perplexity`` on windows of running text, which have no samples.

    ``answers`` are words for display, ``right`` which of them are right (None if answers are numbers). ``labels`` are the
    right answers in words. ``cut``: items whose text was cut, None for windows. ``available``: number of
    items in the source, None if it is known from elsewhere. ``metrics`` are set if the task does not name its own. ``vectors``
    are those of an embedder's texts, if they are the answers.
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
    vectors: Tensor | None = None

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


# -- items on which the variants disagree -----------------------------------------------------------------------------


Outcomes = dict[str, dict[MeasuredVariant, Outcome]]
"""The answers to each task by variant; the items must be the same for every variant."""


def changes_of(outcomes: Outcomes) -> list[Change]:
    """The first :data:`MOST_CHANGES` items of every group, in order, for each task with all three variants."""
    return [
        change
        for task, of_task in outcomes.items()
        if of_task.keys() >= set(VARIANTS)
        for change in _first_of_each_group(_differing(task, of_task))
    ]


def _differing(task: str, outcomes: dict[MeasuredVariant, Outcome]) -> Iterator[Change]:
    """Items whose answers are not all the same; none if answers are numbers, which are never quite the same."""
    asked = outcomes["reconstructed"]  # the dense model's may be known from another run, without the items
    for position, (sample, label) in enumerate(zip(asked.samples, asked.labels, strict=True)):
        answers = {variant: outcomes[variant].answers[position] for variant in VARIANTS}
        right = {variant: flags[position] for variant in VARIANTS if (flags := outcomes[variant].right) is not None}
        if len(set(answers.values())) > 1 and right:
            yield Change(
                task=task,
                text=_cut(sample.text),
                pair=None if sample.pair is None else _cut(sample.pair),
                label=_cut(label),
                answers={variant: _cut(answer) for variant, answer in answers.items()},
                right=None if all(right[one] == (answers[one] == label) for one in right) else right,
            )


def _first_of_each_group(changes: Iterator[Change]) -> Iterator[Change]:
    """The first changes of each group; a change that belongs to several groups is yielded once and counts in each."""
    found = Counter(dict.fromkeys(CHANGE_GROUPS, 0))
    for change in changes:
        groups = change.groups
        if any(found[group] < MOST_CHANGES for group in groups):
            yield change
            found.update(groups)
        if min(found.values()) >= MOST_CHANGES:
            return


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
