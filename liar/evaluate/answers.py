"""Answers of a model that marks the answer to a question in its context, or chooses one of several endings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from liar.errors import InvalidSpecError
from liar.evaluate.choices import answers_by_length, answers_of, choice_steps
from liar.evaluate.items import digest_of_samples
from liar.evaluate.outcome import Outcome, Steps
from liar.evaluate.spans import scores_of_answers, span_steps
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.metrics import METRICS, MetricName
from liar.tasks.samples import Sample

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from liar.evaluate.harness.harness_outcome import HarnessOutcome
    from liar.models.loaded import LoadedModel


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


_READ: Mapping[str, MetricName] = {
    "acc": "accuracy",
    "exact_match": "exact-match",
    "acc_norm": "normalized-accuracy",
    "f1": "answer-f1",
}
"""Metrics of the harness that are known here, main ones first; they are means over items."""


def harness_outcome_steps(loaded: LoadedModel, name: str, limit: int | None, data: str | None) -> Steps:
    """Answer the items of a task of lm-evaluation-harness.

    Raises the errors of :func:`liar.evaluate.harness.steps.harness_steps`, and :class:`InvalidSpecError` if none of its
    metrics is a mean of scores of right, wrong or partly right answers.
    """
    from liar.evaluate.harness.steps import harness_steps  # an extra, which not everybody installs

    found = yield from harness_steps(loaded, name, limit, data=data)
    known = {metric: given for given, metric in _READ.items() if given in found.figures and _is_mean(found, given)}
    if not known:
        raise InvalidSpecError(
            f"The task {name!r} measures {', '.join(found.figures)}, which are no shares of right answers; choose another one."
        )
    scores = {metric: [item.scores[given] for item in found.items] for metric, given in known.items()}
    exact = next((metric for metric in known if METRICS[metric].reads == "right"), None)
    graded = next((metric for metric in known if METRICS[metric].reads == "scores"), None)
    judged = next(metric for metric in (exact, graded) if metric is not None)
    right = [score == 1 for score in scores[judged]]
    samples = [
        Sample(item.text, label=item.label, endings=tuple(item.choices) or (item.label,)) for item in found.items
    ]
    return Outcome(
        samples=samples,
        items=Items(
            digest=found.digest,
            right=packed(right) if exact else None,
            scores=scores[graded] if graded else None,
        ),
        answers=[item.answer.strip() for item in found.items],
        labels=[item.label.strip() for item in found.items],
        right=right,
        available=found.available,
        metrics=tuple(metric for metric in (exact, graded) if metric is not None),
        versions={
            "lm-evaluation-harness": found.harness_version,
            "task": found.task_version,
            "examples in the prompt": str(found.num_fewshot),
        },
    )


def _is_mean(found: HarnessOutcome, metric: str) -> bool:
    """Whether a figure is the mean of the scores of the items, which is no matter of course: f1 may be one of classes."""
    scores = [item.scores.get(metric, math.nan) for item in found.items]
    return math.isclose(fmean(scores), found.figures[metric], rel_tol=1e-9, abs_tol=1e-9)
