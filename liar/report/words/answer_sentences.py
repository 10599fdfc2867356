"""What can be said of an answer without a reader: its perplexity, how much it repeats itself, what it shares with dense.

No single one of them is quality: a loop has a low perplexity, and another good answer shares few words.

>>> from liar.report.words.answer_sentences import agreement, repetition
>>> repetition("so good , so good , so good ,".split()), agreement("a good film", "a rather good film")
(0.5714285714285714, 0.8571428571428571)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from liar.results import Generation, RunResult, Variant
from liar.tasks.metrics import METRICS

RUN = 3
"""Tokens of a run: long enough that good texts of a few sentences hardly repeat one."""


def by_prompt(result: RunResult) -> dict[str, dict[Variant, Generation]]:
    """The stored answers of a run by prompt and variant."""
    found: dict[str, dict[Variant, Generation]] = {}
    for generation in result.generations:
        found.setdefault(generation.prompt, {})[generation.variant] = generation
    return found


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
    return SequenceMatcher(None, _words(text), _words(other), autojunk=False).ratio()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
