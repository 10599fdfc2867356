"""Evaluation of a model: perplexity for language models, accuracy for classifiers.

>>> from liar import load_model
>>> from liar.evaluate.tasks import evaluate
>>> evaluation = evaluate(load_model("tiny"), "perplexity", data="notes.txt", limit=4, sequence_length=64)
>>> evaluation.metric, evaluation.n, evaluation.value > 1
('perplexity', 4, True)
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import TYPE_CHECKING

from liar.data.corpora import held_out_windows
from liar.data.joining import joining_of
from liar.data.packing import evaluation_length
from liar.data.tasks import LabelledText, task_items
from liar.data.texts import HIDDEN, read_samples
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.changes import Comparison
from liar.evaluate.classification import DEFAULT_LIMIT, accuracy_of, answer_steps, rows_of
from liar.evaluate.items import items_of_texts, items_of_windows
from liar.evaluate.perplexity import nll_steps, perplexity_of
from liar.models.heads import class_names, classes_of, is_classifier, named_classes
from liar.presets import PRESETS
from liar.progress import finished
from liar.results import Evaluation, MeasuredVariant
from liar.spec import AUTO, PruneSpec, Separator
from liar.tasks.splits import Split

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel

Steps = Generator[tuple[int, int], None, Evaluation]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


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
) -> Steps:
    """Measure ``task`` on held-out text and return the :class:`Evaluation`.

    ``limit``: number of windows for perplexity (default 20, at least 2), or of texts for the other tasks (default the
    first 1,200, or all of a smaller test set). ``sequence_length``: tokens of a window, or the length at which texts
    are cut (default 256, or all positions of a smaller model). ``separator`` is put between two texts in a window. ``data``:
    text to use in place of the demo bundle's, see :func:`liar.data.texts.read_samples`. ``variant`` only labels the
    result. ``comparison`` collects the label that the model gave to each text. Raises :class:`InvalidSpecError` at the
    first step if the model has no head for ``task``, and :class:`CalibrationError` for unusable ``data``.
    """
    if task == "perplexity":
        return _perplexity(loaded, variant, split, limit, data, sequence_length, separator)
    return _accuracy(loaded, task, variant, split, limit, data, sequence_length, comparison)


evaluate = finished(evaluate_steps)
"""Run :func:`evaluate_steps` to its end and return the :class:`Evaluation`."""


def check_task(loaded: LoadedModel, task: str, *, own_labels: bool = False) -> None:
    """Raise :class:`InvalidSpecError` if the model has no head for ``task``.

    With ``own_labels`` any classifier is accepted; otherwise its classes must include those of the task.
    """
    if task == "perplexity":
        if not loaded.is_language_model:
            raise InvalidSpecError(
                f"Perplexity needs a causal language model, and {loaded.id} is none; choose another task."
            )
        return
    classes = named_classes(loaded.model.config, task) if is_classifier(loaded.model) else {}
    wanted = () if own_labels else LABELS[task]
    if not classes or any(name.casefold() not in classes for name in wanted):
        example = next(preset.id for preset in PRESETS if preset.task == task)
        raise InvalidSpecError(f"{loaded.id} has no head for {task}; choose a model that has, such as {example}.")


def check_evaluations(loaded: LoadedModel, spec: PruneSpec) -> None:
    """Raise :class:`InvalidSpecError` if the model lacks the head or the positions for the evaluations of ``spec``."""
    for task in spec.evaluate:
        check_task(loaded, task)
        evaluation_length(spec.evaluate_length, loaded.model.config, loaded.tokenizer)


def _perplexity(
    loaded: LoadedModel,
    variant: MeasuredVariant,
    split: Split,
    limit: int | None,
    data: str | None,
    sequence_length: int | None,
    separator: Separator,
) -> Steps:
    check_task(loaded, task="perplexity")
    separator = joining_of(data or WIKI, separator).separator
    windows, read = held_out_windows(
        loaded, split, data=data, limit=limit, sequence_length=sequence_length, separator=separator
    )
    nll = yield from nll_steps(loaded.model, windows)
    value, stderr = perplexity_of(nll)
    return Evaluation(
        task="perplexity",
        metric="perplexity",
        variant=variant,
        value=value,
        n=len(windows),
        stderr=stderr,
        sequence_length=windows.shape[1],
        separator=separator,
        items=items_of_windows(windows, nll),
        source=read.source,
        split=read.split,
    )


def _accuracy(
    loaded: LoadedModel,
    task: str,
    variant: MeasuredVariant,
    split: Split,
    limit: int | None,
    data: str | None,
    sequence_length: int | None,
    comparison: Comparison | None,
) -> Steps:
    sequence_length = evaluation_length(sequence_length, loaded.model.config, loaded.tokenizer)
    check_task(loaded, task, own_labels=data is not None)
    classes = named_classes(loaded.model.config, task)
    part: str | None = split
    if data is None:
        items = task_items(task, split).first(limit or DEFAULT_LIMIT)
    else:
        items, part = _own_items(data, split, limit or DEFAULT_LIMIT, loaded, task)
    rows = rows_of(loaded.model, loaded.tokenizer, items, sequence_length)
    order = [classes[name.casefold()] for name in items.label_names]
    answers = yield from answer_steps(loaded.model, loaded.tokenizer, rows, order)
    if comparison is not None:
        comparison.note(task, variant, items, answers.tolist())
    value, stderr = accuracy_of(answers, items)
    return Evaluation(
        task=task,
        metric="accuracy",
        variant=variant,
        value=value,
        n=len(items),
        stderr=stderr,
        sequence_length=sequence_length,
        items=items_of_texts(items, answers),
        source=data or task,
        split=part,
        available=items.available,
        cut=sum(row.cut for row in rows),
    )


def _own_items(data: str, split: Split, limit: int, loaded: LoadedModel, task: str) -> tuple[LabelledText, str | None]:
    """The first ``limit`` labelled texts of ``data``, labelled with classes of the model, and their part."""
    read = read_samples(data, split)
    samples = list(islice(read, limit))
    if not samples:
        raise CalibrationError(f"The text {data!r} is empty; give one with a column of text and one named 'label'.")
    names = class_names(loaded.model.config)
    if all(sample.label == HIDDEN for sample in samples):
        part = f"part {read.split!r} of " if read.split else ""
        raise CalibrationError(
            f"The labels of {part}{data!r} are hidden (all are {HIDDEN}), so nothing can be measured on it; name another "
            "part, as in id:config:validation, that the model was not calibrated on."
        )
    given = [sample.label or "" for sample in samples]
    labels = classes_of(given, loaded.model.config, task, possible=read.label_names)
    known = [label for label in labels if label is not None]
    if len(known) < len(samples):
        first = labels.index(None)
        has = "has no label" if not samples[first].label else f"has the label {samples[first].label!r}"
        raise CalibrationError(
            f"Text number {first + 1} of {data!r} {has}, which is none that the model knows; name a column 'label' and use "
            f"{', '.join(names)}."
        )
    pairs = [sample.pair or "" for sample in samples]
    items = LabelledText(
        [sample.text for sample in samples],
        known,
        names,
        pairs=pairs if any(sample.pair is not None for sample in samples) else None,
        available=len(samples) if next(iter(read), None) is None else None,
    )
    return items, read.split
