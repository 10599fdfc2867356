"""The test items on which the variants disagree: examples behind a change of accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from liar.evaluate.outcome import Outcome
from liar.results import CHANGE_GROUPS, MOST_CHANGES, VARIANTS, Change, MeasuredVariant

_LONGEST = 400
"""Characters of a text that are kept: enough to judge its answer."""


class Comparison:
    """The answers of each variant to each item, collected to find the items on which variants differ."""

    def __init__(self) -> None:
        self._outcomes: dict[str, dict[MeasuredVariant, Outcome]] = {}

    def note(self, task: str, variant: MeasuredVariant, outcome: Outcome) -> None:
        """Store the answers of a variant; the items must be the same for every variant."""
        self._outcomes.setdefault(task, {})[variant] = outcome

    def changes(self) -> list[Change]:
        """The first :data:`MOST_CHANGES` items of every group, in order, for each task with all three variants."""
        return [
            change
            for task, outcomes in self._outcomes.items()
            if outcomes.keys() >= set(VARIANTS)
            for change in _first_of_each_group(_differing(task, outcomes))
        ]


def _differing(task: str, outcomes: dict[MeasuredVariant, Outcome]) -> Iterator[Change]:
    """Items whose answers are not all the same; none if answers are numbers, which are never quite the same."""
    dense = outcomes["dense"]
    for position, (sample, label) in enumerate(zip(dense.samples, dense.labels, strict=True)):
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
