"""Groups of the test items whose answers changed: broken by pruning, mended by the repair, wrong after it."""

from __future__ import annotations

from liar.report.words.metric_sentences import variants_of
from liar.results import MOST_CHANGES, VARIANTS, Change, ChangeGroup, RunResult, change_groups
from liar.statistics.compare import right_answers


def group_size(result: RunResult, task: str, group: ChangeGroup) -> int | None:
    """Number of items of a group among all measured ones; None if the single answers are not known."""
    shown = len(changes_of(result, task, group))
    if shown < MOST_CHANGES:
        return shown
    values = variants_of(result, task)
    answers = [right_answers(values[variant]) for variant in VARIANTS] if values else []
    known = [right for right in answers if right is not None]
    if len(known) < len(VARIANTS):
        return None
    return sum(group in change_groups(*right) for right in zip(*known, strict=True))


def group_extent(result: RunResult, task: str, group: ChangeGroup) -> str:
    """How many items a group has, and how many of them a result keeps: ``31 texts, the first 12 shown``; ``2 texts``."""
    shown, total = len(changes_of(result, task, group)), group_size(result, task, group)
    if total is None:
        return f"the first {shown} texts shown, their number was not kept"
    if not total:
        return "no text"
    return f"{total} {'text' if total == 1 else 'texts'}" + (f", the first {shown} shown" if shown < total else "")


def changes_in_numbers(result: RunResult, task: str) -> str | None:
    """``31 answers broken by pruning, 24 mended by the repair.``; None if no answer changed or single ones are not known."""
    broken, mended = (group_size(result, task, group) for group in ("broken", "mended"))
    if broken is None or mended is None or not (broken or mended):
        return None
    return f"{broken} {'answer' if broken == 1 else 'answers'} broken by pruning, {mended} mended by the repair."


def changes_of(result: RunResult, task: str, group: ChangeGroup) -> list[Change]:
    """Changed items of one group, at most :data:`MOST_CHANGES`; if fewer are returned, the group has no more."""
    return [item for item in result.changes if item.task == task and group in item.groups][:MOST_CHANGES]
