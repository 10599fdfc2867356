"""Labels and accepted answers in the rows of a table, as :class:`liar.tasks.samples.Sample` has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from datasets import ClassLabel, IterableDataset

from liar.data.columns import ANSWERS, LABELS
from liar.errors import CalibrationError
from liar.tasks.record import CLASSES, Task
from liar.tasks.samples import Answer, Sample

HIDDEN = "-1"
"""The label in published test sets whose true labels are withheld."""

_ABSENT = -1
"""Start of an answer that does not occur in its context."""

LabelOf = Callable[[Mapping[str, Any]], str | None]


def label_names(dataset: IterableDataset, named: str | None = None) -> tuple[str, ...]:
    """Names of all possible labels, in the order of their numbers, of the column ``named`` or of the usual ones; empty if the
    data do not name them.
    """
    features = dataset.features or {}
    found = (features[name] for name in ([named] if named else LABELS) if isinstance(features.get(name), ClassLabel))
    return tuple(next((feature.names for feature in found), ()))


def label_reader(
    source: str, dataset: IterableDataset, row: Mapping[str, Any], task: Task | None, named: str | None = None
) -> LabelOf:
    """A function that returns the label of a row: its name if the data or the ``task`` name it, else what is written.

    It is in the column ``named``, else in one of :data:`liar.data.columns.LABELS`. ``row`` is any row of the ``dataset``. For a
    task with labels the function raises :class:`CalibrationError` for any other label but :data:`HIDDEN`; for one that needs a
    column of labels it is raised at once if there is none.
    """
    column = named or next((name for name in LABELS if name in row), None)
    if task is not None and task.head != "span" and column is None:
        raise CalibrationError(
            f"The data of {source} have no column {task.label!r} (they have {', '.join(row)}); take an unchanged copy of "
            "the dataset."
        )
    if column is None:
        return lambda row: None
    known = task.labels if task is not None and task.head in CLASSES else ()
    names = label_names(dataset, named) or known
    numbers = {str(number): name for number, name in enumerate(names)}

    def label_of(row: Mapping[str, Any]) -> str | None:
        label = None if row[column] in (None, "") else _written(row[column])
        label = label if label is None else numbers.get(label, label)
        if known and label not in known and label != HIDDEN:
            raise CalibrationError(
                f"The data of {source} have the label {label!r}, which is none of {', '.join(known)}; take an unchanged copy "
                "of the dataset."
            )
        return label

    return label_of


def check_labels(samples: Sequence[Sample], source: str, split: str | None, *, numbers: bool) -> None:
    """Raise :class:`CalibrationError` if labels are hidden: any of them, of ``numbers`` all."""
    hidden = sum(sample.label == HIDDEN for sample in samples)
    if hidden == len(samples) or (hidden and not numbers):
        part = f"part {split!r} of " if split else ""
        share = "all" if hidden == len(samples) else f"{hidden} of {len(samples)}"
        raise CalibrationError(
            f"The labels of {part}{source!r} are hidden ({share} are {HIDDEN}), so nothing can be measured on it; name another "
            "part, as in id:config:validation, that the model was not calibrated on."
        )


def answers_reader(row: Mapping[str, Any]) -> Callable[[Mapping[str, Any], str | None], tuple[Answer, ...]]:
    """A function that returns the accepted answers in a row with this context; see :func:`check_answers`.

    They are in a column like that of SQuAD (``text`` and ``answer_start``, each a list), or one text or a list of
    texts; a table without lists may have them as JSON.
    """
    column = next((name for name in ANSWERS if name in row), None)
    if column is None:
        return lambda row, context: ()
    return lambda row, context: tuple(_answers(_unpacked(row[column]), context or ""))


def check_answers(samples: Iterable[Sample], source: str) -> None:
    """Raise :class:`CalibrationError` for a question whose accepted answer does not occur in its context."""
    for sample in samples:
        wrong = next((answer.text for answer in sample.answers if answer.start == _ABSENT), None)
        if wrong is not None:
            raise CalibrationError(
                f"The answer {wrong[:60]!r} to the question {sample.text[:60]!r} of {source!r} does not occur in its context; "
                "write answers letter for letter as the context has them."
            )


def _answers(given: Any, context: str) -> Iterator[Answer]:
    starts: Sequence[int] = ()
    if isinstance(given, Mapping):
        given, starts = given.get("text") or [], given.get("answer_start") or []
    if isinstance(given, str) or not isinstance(given, Sequence):
        given = [] if given is None or isinstance(given, bool) else [given]  # yes and no are no part of a context
    for place, text in enumerate(map(str, given)):
        if text:
            yield Answer(text, _start(text, context, starts[place] if place < len(starts) else None))


def _start(text: str, context: str, given: int | None) -> int:
    """The ``given`` position if the text is there, else that of its first occurrence or :data:`_ABSENT`."""
    if given is not None and context.startswith(text, int(given)):
        return int(given)
    return context.find(text)


def _unpacked(value: Any) -> Any:
    """The value itself, or the list or object that it is as JSON."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _written(label: Any) -> str:
    """A label as text; whole numbers without a point, since tables with gaps hold them as floats."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
