"""What a model answered in an evaluation by lm-evaluation-harness, from what its ``evaluate`` returns."""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from numbers import Real
from statistics import fmean
from typing import Any

from liar.errors import InvalidSpecError
from liar.evaluate.outcome import Outcome, digest
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.metrics import METRICS, MetricName
from liar.tasks.samples import Sample

_READ: Mapping[str, MetricName] = {
    "acc": "accuracy",
    "exact_match": "exact-match",
    "acc_norm": "normalized-accuracy",
    "f1": "answer-f1",
}
"""Metrics of the harness that are known here, main ones first; they are means over items."""


def outcome_of(name: str, tasks: Sequence[Any], results: Mapping[str, Any]) -> Outcome:
    """The outcome of the task or group ``name``, made of the harness's ``tasks``, from the ``results`` of its evaluate.

    If a task applies several filters to an answer, the first one counts. The digest is equal for two evaluations of the
    same items with the same prompts. Raises :class:`InvalidSpecError` if none of the metrics is a mean of scores of right,
    wrong or partly right answers.
    """
    items = [(task, found) for task in tasks for found in _by_item(results["samples"][task.config.task])]
    figures: dict[str, tuple[str, float]] = {}
    for key, value in results["results"][name].items():
        metric, comma, kept = key.rpartition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, Real):
            figures.setdefault(metric, (kept, float(value)))
    scores: dict[MetricName, list[float]] = {}
    for given, metric in _READ.items():
        if given in figures:
            kept, figure = figures[given]
            each = [found.get(kept, {}).get(given) for _, found in items]
            values = [float(score) if isinstance(score, Real) else math.nan for score in each]
            if math.isclose(fmean(values), figure, rel_tol=1e-9, abs_tol=1e-9):  # f1 may be one of classes, and no mean
                scores[metric] = values
    if not scores:
        raise InvalidSpecError(
            f"The task {name!r} measures {', '.join(figures)}, which are no shares of right answers; choose another one."
        )
    exact = next((metric for metric in scores if METRICS[metric].reads == "right"), None)
    graded = next((metric for metric in scores if METRICS[metric].reads == "scores"), None)
    metrics = tuple(metric for metric in (exact, graded) if metric is not None)
    right = [score == 1 for score in scores[metrics[0]]]
    presented = [_presented(task, next(iter(found.values()))) for task, found in items]
    hashes = ("doc_hash", "prompt_hash", "target_hash")
    read = [[sample[part] for part in hashes] for task in tasks for sample in results["samples"][task.config.task]]
    return Outcome(
        samples=[Sample(text, label=label, endings=choices or (label,)) for text, choices, label, _ in presented],
        items=Items(
            digest=digest(json.dumps(read).encode()),
            right=packed(right) if exact else None,
            scores=scores[graded] if graded else None,
        ),
        answers=[answer for *_, answer in presented],
        labels=[label for _, _, label, _ in presented],
        right=right,
        available=sum(len(task.eval_docs) for task in tasks),
        metrics=metrics,
        versions={
            "lm-evaluation-harness": importlib.metadata.version("lm_eval"),
            "task": str(results["versions"].get(name)),
            "examples in the prompt": str(results["n-shot"].get(name) or 0),
        },
    )


def _by_item(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Mapping[str, Any]]]:
    """The samples of each item by their filter."""
    found: dict[int, dict[str, Mapping[str, Any]]] = {}
    for sample in samples:
        found.setdefault(sample["doc_id"], {})[sample["filter"]] = sample
    return list(found.values())


def _presented(task: Any, sample: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str, str]:
    """Prompt (with examples if the task gives any), endings (none for a generated answer), right answer and given answer.

    If only the prompts differ (winogrande), the text is their common beginning. The answer is the likeliest ending, or the
    generated text; it is empty if a single ending, which is the label, was not the likeliest text.
    """
    asked, found, target = sample["arguments"], sample["filtered_resps"], sample["target"]
    if not isinstance(asked[0][1], str):  # a generated text
        return asked[0][0], (), _first(target), _first(found[0])
    if len(asked) == 1:
        (context, ending), (_, greedy) = asked[0], found[0]
        return context, (), ending.strip(), ending.strip() if greedy else ""
    kept = [position for position, pair in enumerate(asked) if pair[0]] or range(len(asked))  # the rest only normalises
    contexts = [asked[position][0] for position in kept]
    text = contexts[0]
    if len(set(contexts)) > 1:  # their common beginning, up to a word
        same = sum(1 for _ in takewhile(lambda characters: len(set(characters)) == 1, zip(*contexts, strict=False)))
        text = text[: text.rfind(" ", 0, same) + 1]
    choices = tuple("".join(asked[position])[len(text) :].strip() for position in kept)
    if getattr(task, "multiple_input", 0):
        target = task.doc_to_text(sample["doc"])
    target = target[0] if isinstance(target, list) and target else target
    label = choices[target] if isinstance(target, int) and target in range(len(choices)) else str(target).strip()
    likelihoods = [found[position][0] for position in kept]
    return text, choices, label, choices[likelihoods.index(max(likelihoods))]


def _first(text: Any) -> str:
    """A right answer, of which there may be several, or a generated text, of which the filters may have kept several."""
    return str(text[0] if isinstance(text, list) and text else text).strip()
