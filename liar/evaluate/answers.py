"""Answers of a model that marks the answer to a question in its context, or chooses one of several endings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liar.evaluate.choices import answers_by_length, answers_of, choice_steps
from liar.evaluate.items import digest_of_samples
from liar.evaluate.outcome import Outcome, Steps
from liar.evaluate.spans import scores_of_answers, span_steps
from liar.report.paired import packed
from liar.results import Items
from liar.tasks.items import Sample

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def mark_steps(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], sequence_length: int
) -> Steps:
    """Answer each question from its context, which is read in windows of ``sequence_length`` tokens."""
    answers = yield from span_steps(model, tokenizer, samples, sequence_length)
    right, scores = scores_of_answers(answers, samples)
    labels = [sample.answers[0].text for sample in samples]
    items = Items(digest=digest_of_samples(samples, labels), right=packed(right), scores=scores)
    return Outcome(samples=samples, items=items, answers=answers, labels=labels, right=right)


def choose_steps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]) -> Steps:
    """Choose the most probable ending of each sample; a further score is that of the most probable one by length."""
    found = yield from choice_steps(model, tokenizer, samples)
    chosen, by_length = answers_of(found).tolist(), answers_by_length(found, samples).tolist()
    wanted = [int(sample.label or 0) for sample in samples]
    right = [answer == label for answer, label in zip(chosen, wanted, strict=True)]
    scores = [float(answer == label) for answer, label in zip(by_length, wanted, strict=True)]
    labels = [str(label) for label in wanted]
    return Outcome(
        samples=samples,
        items=Items(digest=digest_of_samples(samples, labels), right=packed(right), scores=scores),
        answers=[sample.endings[answer].strip() for sample, answer in zip(samples, chosen, strict=True)],
        labels=[sample.endings[label].strip() for sample, label in zip(samples, wanted, strict=True)],
        right=right,
    )
