"""Answers of a model that marks them in a text, and their exact match and F1 as in the evaluation of SQuAD 1.1."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Generator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from liar.data.question_windows import LENGTH, STRIDE, Window, windows_of
from liar.evaluate.classification import output_steps
from liar.evaluate.outcome import Outcome, Steps, digest_of_samples
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.samples import Sample

BEST = 20
"""Starts and ends of each window, those with the highest logits, of which answers are made."""

LONGEST = 30
"""Most tokens of an answer."""

_BATCH_SIZE = 16
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def best_answer(
    windows: Sequence[Window],
    start_logits: Sequence[Tensor],
    end_logits: Sequence[Tensor],
    context: str,
    *,
    best: int = BEST,
    longest: int = LONGEST,
) -> str:
    """The part of ``context`` with the highest sum of a start's and an end's logit; "" if no answer is possible.

    ``windows`` are all those of one question, each with its logits (tokens,) on the CPU, without padding. As in
    ``run_qa`` of transformers for SQuAD 1.1: the ``best`` starts and ends of a window, among them tokens that are not of
    the context, make its candidates; a candidate is an answer if both are of the context and it has 1 to ``longest``
    tokens. Of equal sums the first window counts, in it the first start, then the first end.
    """
    answer, highest = "", -math.inf
    for window, of_start, of_end in zip(windows, start_logits, end_logits, strict=True):
        starts, ends = _highest(of_start, best), _highest(of_end, best)
        context_tokens = torch.tensor([span is not None for span in window.offsets])
        tokens = ends - starts.unsqueeze(1) + 1
        allowed = context_tokens[starts].unsqueeze(1) & context_tokens[ends] & (tokens >= 1) & (tokens <= longest)
        sums = (of_start[starts].unsqueeze(1) + of_end[ends]).masked_fill(~allowed, -math.inf)
        row, column = divmod(int(sums.argmax()), len(ends))
        first, last = window.offsets[int(starts[row])], window.offsets[int(ends[column])]
        if float(sums[row, column]) > highest and first is not None and last is not None:
            answer, highest = context[first[0] : last[1]], float(sums[row, column])
    return answer


def _highest(logits: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` highest ``logits`` (tokens,), in ascending order; of equal ones the first."""
    return logits.sort(descending=True, stable=True).indices[:count].sort().values


def span_steps(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Sample],
    length: int = LENGTH,
    stride: int = STRIDE,
) -> Generator[tuple[int, int], None, list[str]]:
    """Yield (windows done, windows in all) after each batch; return the :func:`best_answer` to each of ``samples``.

    Raises :class:`CalibrationError` as :func:`liar.data.question_windows.windows_of` does.
    """
    windows = windows_of(samples, tokenizer, length, stride, model.config)
    logits = yield from output_steps(model, tokenizer, windows, _starts_and_ends, _BATCH_SIZE, "right")
    answers: list[str] = []
    for item, group in groupby(zip(windows, logits, strict=True), key=lambda each: each[0].item):
        own, padded = zip(*group, strict=True)
        starts, ends = zip(*(both[:, : len(window)] for window, both in zip(own, padded, strict=True)), strict=True)
        answers.append(best_answer(own, starts, ends, samples[item].pair or ""))
    return answers


def _starts_and_ends(output: Any, _mask: Tensor) -> Tensor:
    return torch.stack([output.start_logits, output.end_logits], dim=1)


def mark_steps(
    model: Any, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], sequence_length: int
) -> Steps:
    """Answer each question from its context, which is read in windows of ``sequence_length`` tokens."""
    answers = yield from span_steps(model, tokenizer, samples, sequence_length)
    right, scores = scores_of_answers(answers, samples)
    labels = [sample.answers[0].text for sample in samples]
    items = Items(digest=digest_of_samples(samples, labels), right=packed(right), scores=scores)
    return Outcome(samples, items, answers, labels, right)


def scores_of_answers(answers: Sequence[str], samples: Sequence[Sample]) -> tuple[list[bool], list[float]]:
    """Exact match and F1 (0..1) of each answer: the best over the accepted ``answers`` of its sample.

    Defined as in the official evaluation of SQuAD 1.1.
    Case, punctuation, articles and white space do not count, F1 is that of the words, and two answers that have no words
    match exactly, but with an F1 of zero. Both are zero if a sample has no accepted answer.
    """
    exact: list[bool] = []
    overlap: list[float] = []
    for answer, sample in zip(answers, samples, strict=True):
        words = _words(answer)
        accepted = [_words(each.text) for each in sample.answers]
        exact.append(words in accepted)
        overlap.append(max((_f1(words, each) for each in accepted), default=0.0))
    return exact, overlap


def _words(answer: str) -> list[str]:
    return _ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split()


def _f1(found: list[str], wanted: list[str]) -> float:
    shared = (Counter(found) & Counter(wanted)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(found), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)
