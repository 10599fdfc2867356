"""Sentences on answers: the test items whose answers changed, and what can be said of a written answer without a reader.

An item is broken by pruning, mended by the repair, or wrong after it. No single figure of a written answer is quality: a loop
has a low perplexity, and another good answer shares few words with that of the dense model.

>>> from liar.report.words.answer_sentences import agreement, repetition
>>> repetition("so good , so good , so good ,".split()), agreement("a good film", "a rather good film")
(0.5714285714285714, 0.8571428571428571)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from liar.report.words.metric_sentences import variants_of
from liar.results import MOST_CHANGES, VARIANTS, Change, ChangeGroup, Generation, RunResult, Variant, change_groups
from liar.statistics.compare import right_answers
from liar.tasks.metrics import METRICS

RUN = 3
"""Tokens of a run: long enough that good texts of a few sentences hardly repeat one."""


def by_prompt(result: RunResult) -> dict[str, dict[Variant, Generation]]:
    """Answers by prompt and variant."""
    answers: dict[str, dict[Variant, Generation]] = {}
    for generation in result.generations:
        answers.setdefault(generation.prompt, {})[generation.variant] = generation
    return answers


def judged(answer: Generation, dense: Generation | None) -> list[str]:
    """Sentences about a written answer, which is the dense model's own if ``dense`` is None; none about labels or nothing."""
    text = answer.text or ""
    if not text.strip():
        return []
    sentences = []
    if answer.dense_perplexity is not None:
        perplexity = METRICS["perplexity"].words(answer.dense_perplexity)
        sentences.append(f"Perplexity {perplexity}, as the dense model sees it.")
    share = repetition([token.text for token in answer.tokens])
    if share is not None:
        sentences.append(f"Repeats {100 * share:.0f} % of its runs of three tokens.")
    if dense is not None and dense.text != text:
        sentences.append(f"Shares {100 * agreement(text, dense.text or ''):.0f} % of its words with dense.")
    return sentences


def repetition(tokens: Sequence[str]) -> float | None:
    """Share of the runs of :data:`RUN` tokens that have occurred before; None if there are fewer than two runs.

    This is seq-rep-n of Welleck et al. (arXiv 1908.04319), who take n = 4 for longer texts.
    """
    runs = list(zip(*(tokens[place:] for place in range(RUN)), strict=False))
    return 1 - len(set(runs)) / len(runs) if len(runs) > 1 else None


def agreement(text: str, other: str) -> float:
    """Share of the words of both texts in matching blocks (Ratcliff and Obershelp): 0 without a common word, 1 if equal."""
    words, others = (re.findall(r"\w+", each.lower()) for each in (text, other))
    return SequenceMatcher(None, words, others, autojunk=False).ratio()


def group_size(result: RunResult, task: str, *groups: ChangeGroup) -> int | None:
    """Number of items that are in each of ``groups`` among all measured ones; None if the single answers are not known."""
    fewest = min((changes_of(result, task, group) for group in groups), key=len)
    if len(fewest) < MOST_CHANGES:  # then it has no more
        return sum(set(groups) <= set(item.groups) for item in fewest)
    answers = map(right_answers, variants_of(result, task) or ())
    known = [right for right in answers if right is not None]
    if len(known) < len(VARIANTS):
        return None
    return sum(set(groups) <= set(change_groups(*right)) for right in zip(*known, strict=True))


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
