"""Evaluation of a model on a task: its items are read and checked first, then answered.

>>> from liar import load_model
>>> from liar.evaluate.tasks import evaluate
>>> evaluation = evaluate(load_model("tiny"), "perplexity", data="notes.txt", limit=4, sequence_length=64)
>>> evaluation.metric, evaluation.n, evaluation.value > 1
('perplexity', 4, True)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from liar.data.corpora import held_out_windows
from liar.data.joining import joining_of
from liar.data.packing import evaluation_length
from liar.data.texts import HIDDEN, Samples, read_samples
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.answers import choose_steps, mark_steps
from liar.evaluate.changes import Comparison
from liar.evaluate.classification import classify_steps, rate_steps
from liar.evaluate.exam import EvaluationSteps, Exam, ItemsExam, WindowsExam
from liar.evaluate.label_order import settle_order
from liar.evaluate.outcome import Steps
from liar.models.heads import class_names, classes_of, number_of, serves
from liar.presets import PRESETS
from liar.progress import finished
from liar.results import MeasuredVariant
from liar.spec import AUTO, PruneSpec, Separator
from liar.tasks.items import Sample
from liar.tasks.record import HarnessData, HeadKind, OwnData, Task
from liar.tasks.registry import is_task, own_task, task_named
from liar.tasks.splits import Split

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured, and on which items: arguments of :func:`prepare`, with the length that the model allows."""

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


def prepare(
    loaded: LoadedModel,
    name: str,
    *,
    split: Split = "test",
    limit: int | None = None,
    data: str | None = None,
    sequence_length: int | None = None,
    separator: Separator = AUTO,
) -> Exam:
    """Read and check the items of a task for the dense model, so that its variants can answer them.

    ``limit``: number of windows (at least 2) or of items; by default that of the task, or all of a smaller set.
    ``sequence_length``: tokens of a window, or the length at which texts are cut; by default that of the task, or all
    positions of a smaller model. ``separator`` is put between two texts in a window. ``data``: for a task of the hub or
    the harness a folder with copies of their datasets, for the others a text to use in place of the demo bundle's, see
    :func:`liar.data.texts.read_samples`. Raises :class:`InvalidSpecError` if the model has no head for the task, and
    :class:`CalibrationError` for unusable data.
    """
    task = fitting(task_named(name), loaded, data)
    assert task.head is not None, "a fitting task has a head"
    length = evaluation_length(sequence_length, loaded.model.config, loaded.tokenizer, task.length)
    request = Request(loaded, task, split, limit or task.count, data, length, separator)
    if isinstance(task.data, HarnessData):
        return _of_the_harness(request, task.data)
    return _PREPARE[task.head](request)


def evaluate_steps(
    loaded: LoadedModel,
    task: str,
    variant: MeasuredVariant = "dense",
    *,
    split: Split = "test",
    limit: int | None = None,
    data: str | None = None,
    sequence_length: int | None = None,
    separator: Separator = AUTO,
    comparison: Comparison | None = None,
) -> EvaluationSteps:
    """Measure ``task`` on held-out items and return the :class:`liar.results.Evaluation`.

    ``variant`` only labels the result. ``comparison`` collects the answer to each item. The other arguments and the
    errors, at the first step, are those of :func:`prepare`.
    """
    exam = prepare(
        loaded, task, split=split, limit=limit, data=data, sequence_length=sequence_length, separator=separator
    )
    return (yield from exam.steps(loaded, variant, comparison))


evaluate = finished(evaluate_steps)
"""Run :func:`evaluate_steps` to its end and return the :class:`liar.results.Evaluation`."""


def prepare_all(loaded: LoadedModel, spec: PruneSpec) -> dict[str, Exam]:
    """The exams of a recipe by the name of their task; raises what :func:`prepare` raises, before the long work.

    Also settles the order of the labels that its calibration text has.
    """
    calibration = task_named(spec.calibration) if is_task(spec.calibration) else None
    if calibration is not None and calibration.labels and serves(loaded.head, loaded.model.config, "sentence"):
        settle_order(loaded, calibration, spec.data)
    return {
        name: prepare(
            loaded,
            name,
            limit=spec.evaluate_limit,
            data=spec.data,
            sequence_length=spec.evaluate_length,
            separator=spec.separator,
        )
        for name in dict.fromkeys(spec.evaluate)
    }


def fitting(task: Task, loaded: LoadedModel, data: str | None) -> Task:
    """``task`` if the model has the head that it needs; the user's own task gets head and metrics of the model.

    Raises :class:`InvalidSpecError` if the head does not fit, or if the user's own data are not named.
    """
    if isinstance(task.data, OwnData):
        if data is None:
            raise InvalidSpecError(
                f"The task {task.name} needs your data; name a CSV or JSONL file, or a hub dataset, with --data."
            )
        kinds: tuple[HeadKind, ...] = ("language-model", "sentence", "regression", "span")
        kind = next((kind for kind in kinds if serves(loaded.head, loaded.model.config, kind)), None)
        if kind is None:
            raise InvalidSpecError(f"{loaded.id} has no head that a task can measure; choose a model that has one.")
        return own_task(kind)
    if task.head is not None and serves(loaded.head, loaded.model.config, task.head):
        return task
    needed = _NEEDS[task.head] if task.head is not None else "a head"
    presets = [preset for preset in PRESETS if preset.task is not None and task_named(preset.task).head == task.head]
    own = [preset for preset in presets if preset.task == task.name]
    example = next((preset.id for preset in own + presets), None)
    hint = f"choose a model that has, such as {example}" if example else "choose another task"
    raise InvalidSpecError(f"{task.name} needs {needed}, and {loaded.id} has none; {hint}.")


_NEEDS: Mapping[HeadKind, str] = {
    "language-model": "a causal language model",
    "choice": "a causal language model",
    "sentence": "a classifier's head",
    "pair": "a classifier's head",
    "regression": "a head with one output, a regression",
    "span": "a head for question answering",
}


# -- one function for each kind of head ----------------------------------------------------------------------------------


def _windows(request: Request) -> Exam:
    windows, read = held_out_windows(
        request.loaded,
        request.task,
        request.split,
        data=request.data,
        limit=request.limit,
        sequence_length=request.length,
        separator=request.separator,
    )
    separator = joining_of(request.source, request.separator).separator
    return WindowsExam(request.task, read.source, read.split, windows.shape[1], windows, separator)


def _classes(request: Request) -> Exam:
    loaded, task, length = request.loaded, request.task, request.length
    read, samples, available = _items(request)
    if request.source == task.name:
        order = settle_order(loaded, task, request.data)
        names, classes, note = task.labels, order.classes, order.note
    else:
        names = class_names(loaded.model.config)
        samples, classes, note = _named(request, read, samples, names), tuple(range(len(names))), None

    def ask(model: LoadedModel) -> Steps:
        return classify_steps(model.model, model.tokenizer, samples, names, classes, length)

    return ItemsExam(task, read.source, read.split, length, ask, task.metrics, available, note)


def _numbers(request: Request) -> Exam:
    read, samples, available = _items(request)
    wrong = next((place for place, sample in enumerate(samples) if number_of(sample.label) is None), None)
    if wrong is not None:
        raise CalibrationError(
            f"Item {wrong + 1} of {read.source!r} has the label {samples[wrong].label!r}, and a regression needs a number; "
            "give one, or a model with classes."
        )

    def ask(model: LoadedModel) -> Steps:
        return rate_steps(model.model, model.tokenizer, samples, request.length)

    return ItemsExam(request.task, read.source, read.split, request.length, ask, request.task.metrics, available)


def _spans(request: Request) -> Exam:
    read, samples, available = _items(request, labelled=False)
    wrong = next((place for place, sample in enumerate(samples) if not sample.answers or sample.pair is None), None)
    if wrong is not None:
        raise CalibrationError(
            f"Item {wrong + 1} of {read.source!r} lacks a context or an answer; give columns named question, context and "
            "answers, as SQuAD has them."
        )

    def ask(model: LoadedModel) -> Steps:
        return mark_steps(model.model, model.tokenizer, samples, request.length)

    return ItemsExam(request.task, read.source, read.split, request.length, ask, request.task.metrics, available)


def _choices(request: Request) -> Exam:
    read, samples, available = _items(request)

    def ask(model: LoadedModel) -> Steps:
        return choose_steps(model.model, model.tokenizer, samples)

    return ItemsExam(request.task, read.source, read.split, None, ask, request.task.metrics, available)


_PREPARE: Mapping[HeadKind, Callable[[Request], Exam]] = {
    "language-model": _windows,
    "sentence": _classes,
    "pair": _classes,
    "regression": _numbers,
    "span": _spans,
    "choice": _choices,
}


def _of_the_harness(request: Request, data: HarnessData) -> Exam:
    from liar.evaluate.harness import check_harness, harness_steps  # an extra, which not everybody installs

    check_harness(request.loaded, data.name, request.data)

    def ask(model: LoadedModel) -> Steps:
        return harness_steps(model, data.name, request.limit, request.data)

    return ItemsExam(request.task, data.name, None, None, ask, ())


# -- items ---------------------------------------------------------------------------------------------------------------


def _items(request: Request, *, labelled: bool = True) -> tuple[Samples, list[Sample], int | None]:
    """The source, its first items, and the number of all of them if it is known."""
    folder = None if request.task.takes_texts else request.data
    read = read_samples(request.source, request.split, data=folder)
    samples = list(islice(read, request.limit))
    if not samples:
        raise CalibrationError(
            f"The text {read.source!r} is empty; give one with a column of text and one named 'label'."
        )
    if labelled and all(sample.label == HIDDEN for sample in samples):
        part = f"part {read.split!r} of " if read.split else ""
        raise CalibrationError(
            f"The labels of {part}{read.source!r} are hidden (all are {HIDDEN}), so nothing can be measured on it; name "
            "another part, as in id:config:validation, that the model was not calibrated on."
        )
    rest = read.number or (len(samples) if next(iter(read), None) is None else None)
    return read, samples, rest


def _named(request: Request, read: Samples, samples: list[Sample], names: tuple[str, ...]) -> list[Sample]:
    """``samples`` of the user's own data with the names of the model's classes as labels."""
    given = [sample.label or "" for sample in samples]
    expected = request.task.labels
    classes = classes_of(given, request.loaded.model.config, expected, possible=read.label_names)
    for place, (sample, label) in enumerate(zip(samples, classes, strict=True)):
        if label is None:
            has = f"has the label {sample.label!r}" if sample.label else "has no label"
            raise CalibrationError(
                f"Text number {place + 1} of {read.source!r} {has}, which is none that the model knows; name a column "
                f"'label' and use {', '.join(names)}."
            )
    return [replace(sample, label=names[label or 0]) for sample, label in zip(samples, classes, strict=True)]
