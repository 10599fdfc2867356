"""The test items on which the variants disagree: examples behind a change of accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from liar.data.tasks import LabelledText
from liar.results import CHANGE_GROUPS, MOST_CHANGES, VARIANTS, Change, MeasuredVariant

_LONGEST = 400
"""Characters of a text that are kept: enough to judge its sentiment or topic."""


class Comparison:
    """The label that each variant gave to each item, collected to find the items on which variants differ."""

    def __init__(self) -> None:
        self._items: dict[str, LabelledText] = {}
        self._answers: dict[str, dict[MeasuredVariant, Sequence[int]]] = {}

    def note(self, task: str, variant: MeasuredVariant, items: LabelledText, answers: Sequence[int]) -> None:
        """Store the answers, positions in ``items.label_names``; ``items`` must be the same for every variant."""
        self._items[task] = items
        self._answers.setdefault(task, {})[variant] = answers

    def changes(self) -> list[Change]:
        """The first :data:`MOST_CHANGES` items of every group, in order, for each task with all three variants."""
        return [
            change
            for task, answers in self._answers.items()
            if answers.keys() >= set(VARIANTS)
            for change in _first_of_each_group(_differing(task, self._items[task], answers))
        ]


def _differing(task: str, items: LabelledText, answers: dict[MeasuredVariant, Sequence[int]]) -> Iterator[Change]:
    """Items whose answers are not all the same."""
    names = items.label_names
    for position, (text, label) in enumerate(zip(items.texts, items.labels, strict=True)):
        given = {variant: answers[variant][position] for variant in VARIANTS}
        if len(set(given.values())) > 1:
            labels = {variant: names[answer] for variant, answer in given.items()}
            yield Change(task=task, text=_cut(text), label=names[label], answers=labels)


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
