"""Examples to try: texts that the cut model gets wrong and the repaired one right, with the answers of all three.

>>> from liar.report.words.examples import examples
>>> from liar.store import RunStore
>>> run = RunStore().shipped_of("demo/minilm-sentiment")
>>> [[example.answers[name].text for name in ("dense", "pruned", "reconstructed")] for example in examples(run)][0]
['negative', 'positive', 'negative']
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from liar.report.words.answer_sentences import by_prompt, group_size
from liar.results import Generation, RunResult, Variant
from liar.statistics.compare import by_task
from liar.tasks.prompts import is_right

_ENOUGH = 10
"""Fewest questions of which a share says something."""


class Example(NamedTuple):
    """A prompt and the stored answer of each model to it."""

    prompt: str
    answers: dict[Variant, Generation]


def examples(result: RunResult, most: int = 2) -> list[Example]:
    """Texts that pruning broke and the repair mended, those that are shortest with the dense answer; if it mended none, the
    prompts that were answered.
    """
    found = [*_mended_items(result)] or [*_mended_answers(result)]
    found = found or [Example(prompt, answers) for prompt, answers in by_prompt(result).items()]
    return sorted(found, key=_length)[:most]


def _length(example: Example) -> int:
    dense = example.answers.get("dense")
    return len(example.prompt) + len(dense.text or "" if dense else "")


def examples_in_numbers(result: RunResult) -> str:
    """``Cutting broke 214 of 1,200 answers; the repair mended 176.``; empty if single answers are not known."""
    for task, items in by_task(result.evaluations).items():
        broken, mended = group_size(result, task, "broken"), group_size(result, task, "broken", "mended")
        if broken and mended is not None:
            n = next(iter(items.values())).n
            return f"Cutting broke {broken:,} of {n:,} answers; the repair mended {mended:,}."
    asked = [answers for prompt, answers in by_prompt(result).items() if is_right(prompt, "") is not None]
    if len(asked) < _ENOUGH:
        return ""
    return f"Such a question is one of {len([*_mended_answers(result)])} among {len(asked)} that were asked."


def _mended_items(result: RunResult) -> Iterator[Example]:
    for change in result.changes:
        if {"broken", "mended"} <= set(change.groups):
            prompt = change.text if change.pair is None else f"{change.text}\n{change.pair}"
            yield Example(prompt, {name: _said(prompt, name, text) for name, text in change.answers.items()})


def _said(prompt: str, variant: Variant, text: str) -> Generation:
    return Generation(prompt=prompt, variant=variant, text=text)


def _mended_answers(result: RunResult) -> Iterator[Example]:
    for prompt, answers in by_prompt(result).items():
        right = {name: is_right(prompt, answer.text or "") for name, answer in answers.items()}
        if right == {"dense": True, "pruned": False, "reconstructed": True}:
            yield Example(prompt, answers)
