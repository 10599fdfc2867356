"""What a model is worth, before and after: perplexity for language models, accuracy for classifiers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from liar.data.corpora import evaluation_windows
from liar.data.joining import joining_of
from liar.data.labels import class_names, classes_of, is_classifier
from liar.data.packing import evaluation_length
from liar.data.splits import Split
from liar.data.tasks import LABELS, LabelledText, task_items
from liar.data.texts import WIKI, read_samples
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.changes import Comparison
from liar.evaluate.classification import DEFAULT_LIMIT, accuracy_of, answer_steps
from liar.evaluate.items import items_of_texts, items_of_windows
from liar.evaluate.perplexity import nll_steps, perplexity_of
from liar.results import Evaluation, Measured
from liar.spec import AUTO, Separator, Task
from liar.timing import finish

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel

Steps = Generator[tuple[int, int], None, Evaluation]
"""Yields (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


def evaluate_steps(
    loaded: LoadedModel,
    task: Task,
    variant: Measured = "dense",
    *,
    split: Split = "test",
    limit: int | None = None,
    data: str | None = None,
    sequence_length: int | None = None,
    separator: Separator = AUTO,
    comparison: Comparison | None = None,
) -> Steps:
    """Measure ``task`` on held-out text; the generator's value is the :class:`Evaluation`.

    ``limit`` counts windows of ``sequence_length`` tokens for perplexity (default 20) and texts for the others
    (default at most 1,200), cut at ``sequence_length``: 256 unless it says otherwise, or fewer where the model has
    positions for fewer. ``separator`` stands between two texts in a window. ``data`` measures other text than the demo
    bundle's, see :func:`liar.data.texts.read_samples`; ``variant`` only labels the result. ``comparison`` hears which
    label the model gave to each labelled text.

    Raises :class:`InvalidSpecError` at the first step when the model has no head for ``task``, and
    :class:`CalibrationError` for unusable ``data``.
    """
    if task == "perplexity":
        return _perplexity(loaded, variant, split, limit, data, sequence_length, separator)
    return _accuracy(loaded, task, variant, split, limit, data, sequence_length, comparison)


def evaluate(
    loaded: LoadedModel,
    task: Task,
    variant: Measured = "dense",
    *,
    split: Split = "test",
    limit: int | None = None,
    data: str | None = None,
    sequence_length: int | None = None,
    separator: Separator = AUTO,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run :func:`evaluate_steps` to its end; ``on_progress`` hears (items done, items in all) after each batch."""
    steps = evaluate_steps(
        loaded,
        task,
        variant,
        split=split,
        limit=limit,
        data=data,
        sequence_length=sequence_length,
        separator=separator,
    )
    return finish(steps, on_progress)


def _perplexity(
    loaded: LoadedModel,
    variant: Measured,
    split: Split,
    limit: int | None,
    data: str | None,
    sequence_length: int | None,
    separator: Separator,
) -> Steps:
    if not loaded.is_language_model:
        raise InvalidSpecError(
            f"Perplexity needs a causal language model, and {loaded.id} is none; choose another task."
        )
    separator = joining_of(data or WIKI, separator).separator
    windows = evaluation_windows(
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
    )


def _accuracy(
    loaded: LoadedModel,
    task: Task,
    variant: Measured,
    split: Split,
    limit: int | None,
    data: str | None,
    sequence_length: int | None,
    comparison: Comparison | None,
) -> Steps:
    sequence_length = evaluation_length(sequence_length, loaded.model.config, loaded.tokenizer)
    classes = classes_of(loaded.model.config, task) if is_classifier(loaded.model) else {}
    wanted = LABELS.get(task, ()) if data is None else ()
    if not classes or any(name.casefold() not in classes for name in wanted):
        raise InvalidSpecError(
            f"{loaded.id} has no head for {task}; choose a model that has, such as demo/minilm-{task}."
        )
    items = task_items(task, split) if data is None else _own_items(data, split, limit, loaded, classes)
    items = items.first(limit or DEFAULT_LIMIT)
    order = [classes[name.casefold()] for name in items.label_names]
    answers = yield from answer_steps(loaded.model, loaded.tokenizer, items, order, sequence_length)
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
    )


def _own_items(
    data: str, split: Split, limit: int | None, loaded: LoadedModel, classes: Mapping[str, int]
) -> LabelledText:
    """Labelled texts that someone brought along; their labels are classes of the model."""
    samples = list(islice(read_samples(data, split), limit or DEFAULT_LIMIT))
    if not samples:
        raise CalibrationError(f"The text {data!r} is empty; give one with a column of text and one named 'label'.")
    labels = [classes.get(sample.label.casefold()) if sample.label is not None else None for sample in samples]
    known = [label for label in labels if label is not None]
    names = class_names(loaded.model.config)
    if len(known) < len(samples):
        raise CalibrationError(
            f"Text number {labels.index(None) + 1} of {data!r} has no label that the model knows; name a column 'label' "
            f"and use {', '.join(names)}."
        )
    return LabelledText([sample.text for sample in samples], known, names)
