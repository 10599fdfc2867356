"""An exam: the items of a task, read and checked once, which every variant of a model then answers.

One function for each kind of head reads and checks them. No model answers anything there, except that the dense model's
answers to training texts decide the order of classes without names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.data.columns import check_answers, check_labels
from liar.data.packing import joining_of, pack
from liar.data.question_windows import check_question
from liar.data.search import read_search
from liar.data.text_reader import Samples, read_samples
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.classification import classify_steps, rate_steps
from liar.evaluate.embedding import FEWEST_TEXTS, NEAREST, embed_steps, search_steps, similar_steps
from liar.evaluate.label_order import order_by_name, settle_order
from liar.evaluate.multiple_choice import choose_steps
from liar.evaluate.outcome import Outcomes, Steps, digest
from liar.evaluate.perplexity import window_steps
from liar.evaluate.reranking import MOST, rerank_steps
from liar.evaluate.spans import mark_steps
from liar.models.heads import LabelOrder, class_names, classes_of, number_of
from liar.results import Evaluation, MeasuredVariant
from liar.runtime.offload import fingerprint
from liar.spec import Separator
from liar.tasks.record import HeadKind, Task
from liar.tasks.samples import Sample
from liar.tasks.splits import Split

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_MIN_WINDOWS = 2  # a single window has no standard error

EvaluationSteps = Generator[tuple[int, int], None, Evaluation]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """The items of ``task``, or windows of running text: a part ``split`` of ``source``, cut at ``length`` tokens.

    ``ask`` lets a model answer them. ``available`` is the number of items in the source, ``separator`` is between two texts
    of a window. ``note``: a sentence on how answers are read. ``digests`` are those of the texts, as far as they are known.
    ``asked`` is equal for equal items in the same order, read alike; None if they are read while a model answers, or if the
    answers are vectors. ``compared``: the name of the vectors of the dense model that answers are compared with.
    """

    task: Task
    source: str
    split: str | None
    length: int | None
    ask: Callable[[LoadedModel, MeasuredVariant], Steps]
    available: int | None = None
    separator: Separator | None = None
    note: str | None = None
    digests: frozenset[int] = frozenset()
    asked: str | None = None
    compared: str | None = None

    def is_open(self, loaded: LoadedModel) -> bool:
        """Whether the dense model has to answer before any other can."""
        return self.compared is not None and self.compared not in loaded.dense_vectors

    def steps(self, loaded: LoadedModel, variant: MeasuredVariant, outcomes: Outcomes | None = None) -> EvaluationSteps:
        """Measure the metrics of the task, or those that the outcome names.

        ``outcomes`` records the answer to each item. ``variant`` only labels the result.
        """
        outcome = yield from self.ask(loaded, variant)
        if outcomes is not None:
            outcomes.setdefault(self.task.name, {})[variant] = outcome
        main, *further = outcome.figures(outcome.metrics or self.task.metrics)
        return Evaluation(
            task=self.task.name,
            metric=main.metric,
            variant=variant,
            value=main.value,
            n=outcome.n,
            stderr=main.stderr,
            sequence_length=self.length,
            separator=self.separator,
            items=outcome.items,
            source=self.source,
            split=self.split,
            available=outcome.available or self.available,
            cut=outcome.cut,
            further=further,
            majority=outcome.majority,
            note=self.note,
            versions=outcome.versions,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured, and on which items: the arguments of :func:`liar.evaluate.prepared_task.prepare`."""

    loaded: LoadedModel
    task: Task
    split: Split
    limit: int
    data: str | None
    length: int
    separator: Separator

    @property
    def source(self) -> str:
        """Where the items come from: data of the user's own, else those of the task."""
        return self.data if self.data is not None and self.task.takes_texts else self.task.name


def _windows(request: Request) -> Exam:
    windows, read = held_out_windows(request)
    has_own = request.loaded.vocabulary is not None  # and the windows are of its tokens
    exam = _exam(request, read, window_steps, windows.tolist())
    return replace(
        exam,
        ask=lambda loaded, _: window_steps(loaded.model, windows, None if has_own else loaded.vocabulary),
        separator=joining_of(request.source, request.separator).separator,
    )


def held_out_windows(request: Request) -> tuple[Tensor, Samples]:
    """Held-out windows for perplexity, (windows, length) int64, and the source that they were read from.

    The text is the user's own (see :func:`liar.data.text_reader.read_samples`), else those of the task; of several texts
    windows are taken in turn. At most ``limit`` windows, at least two, from the beginning of each text. Raises
    :class:`CalibrationError` for text of fewer than two windows.
    """
    task, data, length = request.task, request.data, request.length
    sources = [data] if data is not None else [text.id for text in task.texts]
    count = max(request.limit, _MIN_WINDOWS)
    found: list[Tensor] = []
    digests: set[int] = set()
    for source in sources:
        joining = joining_of(source, request.separator)
        samples = read_samples(source, request.split, raw=joining.is_running)
        texts = (sample.joined for sample in samples)
        found.append(pack(texts, request.loaded.tokenizer, length, math.ceil(count / len(sources)), joining))
        digests |= samples.digests
    in_turn = [window for windows in zip_longest(*found) for window in windows if window is not None][:count]
    if len(in_turn) < _MIN_WINDOWS:
        raise CalibrationError(
            f"The text {data or task.title!r} fills {len(in_turn)} windows of {length} tokens, and perplexity needs at least "
            f"{_MIN_WINDOWS}; give more text or a smaller sequence length."
        )
    return torch.stack(in_turn), replace(samples, source=", ".join(sources), digests=digests, number=None)


def _classes(request: Request) -> Exam:
    loaded, task = request.loaded, request.task
    is_own = request.source != task.name
    if not is_own:
        order_by_name(loaded, task)
    read, samples = _items(request)
    check_labels(samples, read.source, read.split, numbers=False)
    if is_own:
        names = class_names(loaded.model.config)
        samples, order = _named(request, read, samples, names), LabelOrder(tuple(range(len(names))))
    else:
        names, order = task.labels, settle_order(loaded, task, request.data)
    ask = partial(
        classify_steps, samples=samples, label_names=names, classes=order.classes, sequence_length=request.length
    )
    return _exam(request, read, ask, (samples, names, order.classes), order.note)


def _numbers(request: Request) -> Exam:
    read, samples = _rated(request)
    return _exam(request, read, partial(rate_steps, samples=samples, sequence_length=request.length), samples)


def _rated(request: Request) -> tuple[Samples, list[Sample]]:
    """:func:`_items`, each with a number for a label."""
    read, samples = _items(request)
    check_labels(samples, read.source, read.split, numbers=True)
    wrong = next((place for place, sample in enumerate(samples) if number_of(sample.label) is None), None)
    if wrong is not None:
        has = f"the label {samples[wrong].label!r}" if samples[wrong].label else "no label"
        raise CalibrationError(
            f"Item {wrong + 1} of {read.source!r} has {has}, and a regression needs a number; give one in a column named "
            "'label', or choose a model with classes."
        )
    return read, samples


def _spans(request: Request) -> Exam:
    read, samples = _items(request)
    wrong = next((place for place, sample in enumerate(samples) if not sample.answers or not sample.pair), None)
    if wrong is not None:
        raise CalibrationError(
            f"Item {wrong + 1} of {read.source!r} lacks a context or an answer; give columns named question, context and "
            "answers, as SQuAD has them."
        )
    check_answers(samples, read.source)
    for sample in samples:
        check_question(sample, request.loaded.tokenizer, request.length)
    return _exam(request, read, partial(mark_steps, samples=samples, sequence_length=request.length), samples)


def _vectors(request: Request) -> Exam:
    read, samples = _items(request)
    if len(samples) < FEWEST_TEXTS:
        raise CalibrationError(
            f"{read.source!r} has {len(samples)} texts, and the {NEAREST} nearest of each are counted among at least "
            f"{FEWEST_TEXTS}; give more texts."
        )
    name = digest(repr((fingerprint(request.loaded.model), request.length, samples)).encode())
    ask = partial(embed_steps, samples=samples, length=request.length, asked=name)
    exam = _exam(request, read, ask, samples)
    return replace(exam, ask=ask, asked=None, compared=name)


def _similarities(request: Request) -> Exam:
    read, samples = _rated(request)
    if any(sample.pair is None for sample in samples):
        raise CalibrationError(
            f"{read.source!r} has single texts, and a similarity is one of two; name two columns of text."
        )
    ask = partial(similar_steps, samples=samples, length=request.length)
    return replace(_exam(request, read, ask, samples), ask=lambda loaded, _: ask(loaded))


def _searches(request: Request) -> Exam:
    reranks = request.task.head == "rerank"
    search = read_search(request.source, request.split)
    asked = search.first(request.limit)
    steps = rerank_steps if reranks else search_steps
    note = f"Each query has {len(search.documents):,} texts to find its own in."
    if reranks:
        note = f"For each query up to {MOST} texts are ordered, its own and those that share the rarest words with it."
    return Exam(
        task=request.task,
        source=search.source,
        split=search.split,
        length=request.length,
        ask=lambda loaded, _: steps(loaded, asked, request.length),
        available=len(search.queries),
        note=note,
        digests=frozenset(asked.digests),
        asked=digest(repr(asked).encode()),
    )


def _choices(request: Request) -> Exam:
    if request.source != request.task.name:
        raise InvalidSpecError(
            f"{request.task.name} takes no data of your own; leave the data out, or measure the perplexity of your texts with "
            "the task own."
        )
    read, samples = _items(request)
    return _exam(request, read, partial(choose_steps, samples=samples), samples)


READERS: Mapping[HeadKind, Callable[[Request], Exam]] = {
    "language-model": _windows,
    "sentence": _classes,
    "pair": _classes,
    "regression": _numbers,
    "span": _spans,
    "choice": _choices,
    "embedding": _vectors,
    "search": _searches,
    "similarity": _similarities,
    "rerank": _searches,
}
"""For each kind of head a function that reads the items; it raises what :func:`liar.evaluate.prepared_task.prepare` raises."""


def _exam(request: Request, read: Samples, ask: Callable[..., Steps], asked: object, note: str | None = None) -> Exam:
    """The exam of items that were ``read``; ``ask`` takes a model and its tokenizer, and ``asked`` is what it asks."""
    return Exam(
        task=request.task,
        source=read.source,
        split=read.split,
        length=None if request.task.head == "choice" else request.length,
        ask=lambda loaded, _: ask(loaded.model, loaded.tokenizer),
        available=read.number,
        note=note,
        digests=frozenset(read.digests),
        asked=digest(repr(asked).encode()),
    )


def _items(request: Request) -> tuple[Samples, list[Sample]]:
    """The source, with the number of all its items if it is known, and the first of them."""
    folder = None if request.task.takes_texts else request.data
    read = read_samples(request.source, request.split, data=folder)
    samples = list(islice(read, request.limit))
    if not samples:
        raise CalibrationError(
            f"The text {read.source!r} is empty; give one with a column of text and one named 'label'."
        )
    digests = set(read.digests)
    is_all = next(iter(read), None) is None
    return replace(read, number=len(samples) if is_all else read.number, digests=digests), samples


def _named(request: Request, read: Samples, samples: list[Sample], names: tuple[str, ...]) -> list[Sample]:
    """``samples`` of the user's own data with the names of the model's classes as labels."""
    given = [sample.label or "" for sample in samples]
    classes = classes_of(given, request.loaded.model.config, request.task.labels, possible=read.label_names)
    for place, (sample, label) in enumerate(zip(samples, classes, strict=True)):
        if label is None:
            has = f"the label {sample.label!r}, which the model does not know" if sample.label else "no label"
            raise CalibrationError(
                f"Text number {place + 1} of {read.source!r} has {has}; name a column 'label', or yours with "
                f"#label=COLUMN behind the source, and use {', '.join(names[:12])}."
            )
    return [replace(sample, label=names[label or 0]) for sample, label in zip(samples, classes, strict=True)]
