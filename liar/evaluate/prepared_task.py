"""Evaluation of a model on a task: its items are read and checked first, then answered.

>>> from liar import load_model
>>> from liar.evaluate.prepared_task import evaluate
>>> evaluation = evaluate(load_model("tiny"), "perplexity", data="notes.txt", limit=4, sequence_length=64)
>>> evaluation.metric, evaluation.n, evaluation.value > 1
('perplexity', 4, True)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from liar.data.columns import selection
from liar.data.corpora import copies_of
from liar.data.packing import evaluation_length
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.harness.steps import check_task, harness_steps
from liar.evaluate.label_order import settle_order
from liar.evaluate.task_readers import READERS, EvaluationSteps, Exam, Request
from liar.models.heads import kind_of, serves
from liar.presets import PRESETS
from liar.progress import finished
from liar.results import CalibrationPart, CalibrationText, MeasuredVariant
from liar.spec import AUTO, PruneSpec, Separator
from liar.tasks.record import CLASSES, OF_EMBEDDERS, HarnessData, HeadKind, OwnData, Task
from liar.tasks.registry import RERANKING, RETRIEVAL, is_task, own_task, task_named
from liar.tasks.splits import Split

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel


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
    :func:`liar.data.text_reader.read_samples`. Raises :class:`InvalidSpecError` if the model has no head for the task, and
    :class:`CalibrationError` for unusable data.
    """
    task = fitting(task_named(name), loaded, data)
    assert task.head is not None, "a fitting task has a head"
    length = evaluation_length(sequence_length, loaded, task.length)
    request = Request(loaded, task, split, limit or task.count, data, length, separator)
    if isinstance(task.data, HarnessData):
        check_task(loaded, task.data.name, data)
        ask = partial(harness_steps, name=task.data.name, limit=request.limit, data=data)
        return Exam(task=task, source=task.data.name, split=None, length=None, ask=lambda loaded, _: ask(loaded))
    return READERS[task.head](request)


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
) -> EvaluationSteps:
    """Measure ``task`` on held-out items and return the :class:`liar.results.Evaluation`.

    ``variant`` only labels the result. The other arguments and the errors, at the first step, are those of
    :func:`prepare`.
    """
    exam = prepare(
        loaded, task, split=split, limit=limit, data=data, sequence_length=sequence_length, separator=separator
    )
    if exam.is_open(loaded) and variant == "dense":
        raise InvalidSpecError(
            f"The task {task} compares a model with the one that it was made from, so a run measures it; for one model alone "
            "take wiki-search, retrieval or stsb."
        )
    return (yield from exam.steps(loaded, variant))


evaluate = finished(evaluate_steps)
"""Run :func:`evaluate_steps` to its end and return the :class:`liar.results.Evaluation`."""


def prepare_all(loaded: LoadedModel, spec: PruneSpec) -> dict[str, Exam]:
    """The exams of a recipe by the name of their task; raises what :func:`prepare` raises, before the long work.

    Also settles the order of the labels that its calibration text has, see :func:`settle_calibration`.
    """
    exams = {
        name: prepare(
            loaded,
            name,
            limit=spec.evaluate_limit,
            data=spec.data_of(name),
            sequence_length=spec.evaluate_length,
            separator=spec.separator,
        )
        for name in dict.fromkeys(spec.evaluate)
    }
    check_apart(spec, [_named_part(source) for source in spec.sources], exams)
    settle_calibration(loaded, spec)
    return exams


def settle_calibration(loaded: LoadedModel, spec: PruneSpec) -> None:
    """Settle the order of the labels of the calibration text, for the gradients, if it is a task that the model fits.

    Other labels are not used. Raises :class:`CalibrationError` as :func:`liar.evaluate.label_order.settle_order` does.
    """
    for task in (task_named(source) for source in spec.sources if is_task(source)):
        if task.head in CLASSES and serves(loaded.head, loaded.model.config, task.head):
            with suppress(InvalidSpecError):  # of other classes
                settle_order(loaded, task, copies_of(spec))


def order_notes(loaded: LoadedModel, spec: PruneSpec) -> list[str]:
    """Sentences on how the classes of the model are read in the tasks of a recipe, if not by their names."""
    found = [loaded.label_orders.get(name) for name in dict.fromkeys((*spec.evaluate, *spec.sources))]
    return [order.note for order in found if order is not None and order.note is not None]


def _named_part(source: str) -> CalibrationPart:
    """The part of a hub dataset that ``source`` names, before it is read."""
    named = selection(source).source.split(":")
    return CalibrationPart(source=source, split=named[2] if len(named) == 3 else None)


def with_shared(text: CalibrationText, exams: Mapping[str, Exam]) -> CalibrationText:
    """The calibration ``text`` with the share of each exam's texts that it holds as well, wherever it was copied from.

    Raises :class:`CalibrationError` if it holds all texts of an exam.
    """
    shares = {
        name: len(exam.digests & text.digests) / len(exam.digests) for name, exam in exams.items() if exam.digests
    }
    if whole := next((name for name, share in shares.items() if share == 1), None):
        raise CalibrationError(
            f"The model would be measured on the texts that it is calibrated on: {text.source!r} holds every text of "
            f"{exams[whole].source!r}; name another text for one of the two."
        )
    return text.model_copy(update={"shared": {name: share for name, share in shares.items() if share}})


def check_apart(spec: PruneSpec, read: Iterable[CalibrationPart], exams: Mapping[str, Exam]) -> None:
    """Raise :class:`CalibrationError` if the user's data in an exam are one of the ``read`` calibration texts.

    A file has no parts, so it cannot serve for both. Without a split nothing is known of a hub dataset.
    """
    if spec.data is None:  # tasks never measure the part that is for calibration
        return
    measured = {_place(exam.source, exam.split) for exam in exams.values()}
    for text in read:
        if _place(text.source, text.split) not in measured:
            continue
        part = f"part {text.split!r} of {text.source!r}" if text.split else repr(text.source)
        raise CalibrationError(
            f"The model would be measured on the texts that it is calibrated on, {part}; name another file or part for one of "
            "the two, or split the file in two."
        )


def _place(source: str, split: str | None) -> tuple[str, str | None]:
    """What a source is, however it is written: the path of a file, or dataset and configuration with the part."""
    name = selection(source).source
    if split is None:
        return str(Path(name).expanduser().resolve()), None
    return ":".join(name.split(":")[:2]).rstrip(":"), split


def fitting(task: Task, loaded: LoadedModel, data: str | None) -> Task:
    """``task`` if the model has the head that it needs; the user's own task gets head and metrics of the model.

    Raises :class:`InvalidSpecError` if the head does not fit, or if the user's own data are not named.
    """
    if isinstance(task.data, OwnData) and data is None:
        raise InvalidSpecError(
            f"The task {task.name} needs your data; name a CSV or JSONL file, or a hub dataset, with --data."
        )
    if task is RETRIEVAL and serves(loaded.head, loaded.model.config, "rerank"):
        return RERANKING
    if task.name == "stsb" and loaded.embedder is not None:
        return replace(task, head="similarity")
    if task.head is None:
        kind = kind_of(loaded.head, loaded.model.config)
        if kind is None:
            raise InvalidSpecError(f"{loaded.id} has no head that a task can measure; choose a model that has one.")
        return own_task(kind)
    if serves(loaded.head, loaded.model.config, task.head):
        return task
    kinds = OF_EMBEDDERS if task.head in OF_EMBEDDERS else {task.head}
    presets = [preset for preset in PRESETS if preset.task is not None and task_named(preset.task).head in kinds]
    presets.sort(key=lambda preset: preset.task != task.name)
    hint = f"choose a model that has, such as {presets[0].id}" if presets else "choose another task"
    raise InvalidSpecError(f"{task.name} needs {_NEEDS[task.head]}, and {loaded.id} has none; {hint}.")


_NEEDS: Mapping[HeadKind, str] = {
    "language-model": "a causal language model",
    "choice": "a causal language model",
    "sentence": "a classifier's head",
    "pair": "a classifier's head",
    "regression": "a head with one output, a regression",
    "span": "a head for question answering",
    "embedding": "an embedder, a model without a head",
    "search": "an embedder, a model without a head",
    "similarity": "an embedder, a model without a head",
    "rerank": "a reranker, a head with one output for a pair",
}
