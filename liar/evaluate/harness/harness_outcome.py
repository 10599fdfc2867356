"""Figures and items of an evaluation by lm-evaluation-harness, from what its ``evaluate`` returns."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from numbers import Real
from typing import Any

_RESAMPLES = 200
"""Resamples of the items for a standard error: it is then known to one part in twenty."""


@dataclass(frozen=True, slots=True)
class HarnessItem:
    """An item of a task, as the harness presented it and judged the answer.

    ``text`` is the prompt, with examples if the task gives any, and ``choices`` the endings, none for a generated answer.
    If only the prompts differ (winogrande), the text is their common beginning. ``label`` is the right answer and
    ``answer`` the model's: the likeliest ending, or the generated text; both are empty if the task has none, and an
    answer is empty if a single ending, which is the label, was not the likeliest text. ``scores``: for each metric the
    value of this item; 1 or 0 for metrics of pairs of label and answer (f1, mcc); nats for each word or byte for
    perplexities; metrics without such a value are left out. ``key`` is the harness's hash of the item.
    """

    text: str
    choices: tuple[str, ...]
    label: str
    answer: str
    scores: dict[str, float]
    key: str


@dataclass(frozen=True, slots=True)
class HarnessOutcome:
    """Figures of a task or group, and the ``n`` items behind them.

    ``figures``, ``stderr`` and ``higher_is_better`` are keyed by metric, without the harness's filter; if it applies
    several filters, all but the first are part of the name, as in "exact_match,flexible-extract". A standard error is
    that of a mean, or of 200 resamples of the items; it is left out for one item, and for metrics of whole texts.
    ``digest`` is equal for two evaluations of the same items with the same prompts.
    """

    task: str
    figures: dict[str, float]
    stderr: dict[str, float]
    higher_is_better: dict[str, bool]
    n: int
    available: int
    harness_version: str
    task_version: str
    num_fewshot: int
    digest: str
    items: list[HarnessItem]


def outcome_of(name: str, tasks: Sequence[Any], results: Mapping[str, Any]) -> HarnessOutcome:
    """The outcome of the task or group ``name``, made of the harness's ``tasks``, from the ``results`` of its evaluate."""
    by_task = [(task, results["samples"][task.config.task]) for task in tasks]
    samples = [sample for _, found in by_task for sample in found]
    names = _names(results["results"][name])
    figures: dict[str, float] = {}
    stderr: dict[str, float] = {}
    for key, shown in names.items():
        metric, _, kept = key.rpartition(",")
        figures[shown] = float(results["results"][name][key])
        values = [sample[metric] for sample in samples if sample["filter"] == kept and metric in sample]
        error = _standard_error(figures[shown], values, tasks[0].aggregation().get(metric) if len(tasks) == 1 else None)
        if error is not None:
            stderr[shown] = error
    higher = results["higher_is_better"].get(name, {})
    directions = {shown: higher.get(key.rpartition(",")[0]) for key, shown in names.items()}
    items = [_item(task, found, names) for task, all_found in by_task for found in _by_item(all_found)]
    read = [[sample[part] for part in ("doc_hash", "prompt_hash", "target_hash")] for sample in samples]
    return HarnessOutcome(
        task=name,
        figures=figures,
        stderr=stderr,
        higher_is_better={shown: bool(better) for shown, better in directions.items() if better is not None},
        n=len(items),
        available=sum(len(task.eval_docs) for task in tasks),
        harness_version=importlib.metadata.version("lm_eval"),
        task_version=str(results["versions"].get(name)),
        num_fewshot=int(results["n-shot"].get(name) or 0),
        digest=hashlib.sha256(json.dumps(read).encode()).hexdigest()[:16],
        items=items,
    )


def _names(figures: Mapping[str, Any]) -> dict[str, str]:
    """Name of each figure among the harness's "metric,filter" keys: the metric, for its second filter the whole key."""
    names: dict[str, str] = {}
    for key, value in figures.items():
        metric, comma, _ = key.rpartition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, Real):
            names[key] = key if metric in names.values() else metric
    return names


def _by_item(samples: Iterable[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    """The samples of each item, one for each filter."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for sample in samples:
        found.setdefault(sample["doc_id"], []).append(sample)
    return found.values()


def _item(task: Any, samples: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> HarnessItem:
    first = samples[0]
    scores: dict[str, float] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            score = _score(sample, metric)
            if score is not None and (shown := names.get(f"{metric},{sample['filter']}")):
                scores[shown] = score
    text, choices, label, answer = _presented(task, first)
    return HarnessItem(text, choices, label, answer, scores, str(first["doc_hash"]))


def _presented(task: Any, sample: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str, str]:
    """Text, choices, label and answer of an item."""
    asked, found = sample["arguments"], sample["filtered_resps"]
    if len(asked[0]) == 1:  # the likelihood of a whole text
        return asked[0][0], (), "", ""
    if not isinstance(asked[0][1], str):  # a generated text
        target = sample["target"]
        label = target[0] if isinstance(target, list) and target else target
        return asked[0][0], (), str(label).strip(), _text_of(found[0])
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
    target = task.doc_to_text(sample["doc"]) if getattr(task, "multiple_input", 0) else sample["target"]
    target = target[0] if isinstance(target, list) and target else target
    label = choices[target] if isinstance(target, int) and target in range(len(choices)) else str(target).strip()
    likelihoods = [found[position][0] for position in kept]
    return text, choices, label, choices[likelihoods.index(max(likelihoods))]


def _text_of(answer: Any) -> str:
    """A generated text after its filters, which may have kept several."""
    return str(answer[0] if isinstance(answer, list) and answer else answer).strip()


def _score(sample: Mapping[str, Any], metric: str) -> float | None:
    """Value of a metric for one item; None if it is not a number, see :class:`HarnessItem`."""
    value = sample[metric]
    if isinstance(value, Real):
        return float(value)
    if not _is_pair(value):
        return None
    first, second = value
    if len(sample["arguments"][0]) == 1:  # the likelihood of a whole text, and its words or bytes
        return -float(first) / float(second)
    return float(first == second)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, Real) for part in value)


def _standard_error(
    figure: float, values: Sequence[Any], aggregate: Callable[[Sequence[Any]], float] | None
) -> float | None:
    """Standard error of a ``figure`` of the items' ``values``: of their mean if it is one, else of resamples."""
    if len(values) < 2:
        return None
    if all(isinstance(value, Real) for value in values):
        numbers = [float(value) for value in values]
        if math.isclose(statistics.fmean(numbers), figure, rel_tol=1e-9, abs_tol=1e-12):
            return statistics.stdev(numbers) / math.sqrt(len(numbers))
    elif not all(_is_pair(value) for value in values):
        return None
    if aggregate is None:
        return None
    draw = random.Random(0)
    figures = [float(aggregate(draw.choices(values, k=len(values)))) for _ in range(_RESAMPLES)]
    return statistics.stdev(figures)
