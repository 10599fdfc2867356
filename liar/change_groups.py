"""Groups of the test items whose answers changed: what pruning broke, what the repair mended, what stays wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from liar.compare import right_answers
from liar.results import VARIANTS, Change, RunResult
from liar.spec import Task
from liar.words import variants_of

ChangeGroup = Literal["broken", "mended", "lost"]
CHANGE_GROUPS: Mapping[ChangeGroup, tuple[str, str]] = {
    "broken": ("Broken by pruning", "The dense model is right, the pruned one is wrong."),
    "mended": ("Mended by the repair", "The pruned model is wrong, the reconstructed one is right."),
    "lost": (
        "Wrong after the repair",
        "The reconstructed model is wrong where the dense or the pruned one is right: "
        "the repair did not reach it, or broke it.",
    ),
}
"""The kinds of changed test items that matter to a reader, with a title and its meaning."""

MOST_CHANGES = 12
"""Changed items of each group that a result keeps for a task, the first of the test set."""


def groups_of(change: Change) -> list[ChangeGroup]:
    """The groups that a changed item is in: often two; none if every variant is wrong in its own way."""
    if not change.answers.keys() >= set(VARIANTS):
        return []
    return _groups(*(change.answers[variant] == change.label for variant in VARIANTS))


def _groups(dense: bool, pruned: bool, reconstructed: bool) -> list[ChangeGroup]:
    found: dict[ChangeGroup, bool] = {
        "broken": dense and not pruned,
        "mended": reconstructed and not pruned,
        "lost": (dense or pruned) and not reconstructed,
    }
    return [group for group, holds in found.items() if holds]


def group_size(result: RunResult, task: Task, group: ChangeGroup) -> int | None:
    """Items of a group among all that were measured; None if the single answers are not known."""
    shown = len(changes_of(result, task, group))
    if shown < MOST_CHANGES:
        return shown
    values = variants_of(result, task)
    answers = [right_answers(values[variant]) for variant in VARIANTS] if values else []
    known = [right for right in answers if right is not None]
    if len(known) < len(VARIANTS):
        return None
    return sum(group in _groups(*right) for right in zip(*known, strict=True))


def group_extent(result: RunResult, task: Task, group: ChangeGroup) -> str:
    """``12 of 31 texts shown``: how many of a group's items a result keeps."""
    shown, total = len(changes_of(result, task, group)), group_size(result, task, group)
    if total is None:
        return f"the first {shown} texts shown, how many there are was not kept"
    return f"{shown} of {total} {'text' if total == 1 else 'texts'} shown" if total else "no text"


def changes_of(result: RunResult, task: Task, group: ChangeGroup) -> list[Change]:
    """The changed items of one group, at most :data:`MOST_CHANGES`; fewer are all there are."""
    return [item for item in result.changes if item.task == task and group in groups_of(item)][:MOST_CHANGES]
