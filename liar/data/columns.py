"""Columns of a table that make a :class:`liar.tasks.samples.Sample`: its text or texts, its label and its accepted answers.

Common names are recognised; any other must be given with the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, IterableDataset

from liar.errors import CalibrationError
from liar.tasks.record import CLASSES, Task
from liar.tasks.samples import Answer, Sample

PAIRS: tuple[tuple[str, str], ...] = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "context"),
    ("question", "passage"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("query", "positive"),
)
"""Pairs of columns that a model reads as one input, as in GLUE, SNLI, BoolQ and SQuAD."""

TEXTS: tuple[str, ...] = ("text", "sentence", "content", "document")
LABELS: tuple[str, ...] = ("label", "labels")
"""Names of columns of labels."""
ANSWERS: tuple[str, ...] = ("answers", "answer")
"""Names of columns of accepted answers."""

HIDDEN = "-1"
"""The label in published test sets whose true labels are withheld."""

_ABSENT = -1
"""Start of an answer that does not occur in its context, as ``str.find`` has it."""

_NO_TEXT = re.compile(
    r"_*(id|idx|uid|uuid|guid|pid|key|url|uri|link|lang|language|split)_*|.*_(id|url|uri|idx)_*",
    re.IGNORECASE | re.DOTALL,
)
"""Names of string columns that hold no text, only keys, addresses and the like."""

SELECTION = "#"
"""The mark between a source and the names of its columns."""
_LABEL = "label="
"""Before the name of the column of labels."""

LabelOf = Callable[[Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The ``source`` alone, and the columns that were named behind it: of ``texts`` none, one or two."""

    source: str
    texts: tuple[str, ...] = ()
    label: str | None = None


def selection(source: str) -> Selection:
    """Split a source from the column names behind it: ``id#question,context`` or ``id#message,label=kind``.

    An existing file whose name contains the mark is not split. Raises :class:`CalibrationError` for an empty column name, for
    more than two columns of text and for more than one of labels.
    """
    if SELECTION not in source or Path(source).expanduser().exists():
        return Selection(source)
    name, _, columns = source.rpartition(SELECTION)
    asked = [column.strip() for column in columns.split(",")]
    labels = [column.removeprefix(_LABEL).strip() for column in asked if column.startswith(_LABEL)]
    texts = tuple(column for column in asked if not column.startswith(_LABEL))
    if not all([*texts, *labels]) or len(texts) > 2 or len(labels) > 1:
        raise CalibrationError(
            f"{source!r} should name one column or two behind its {SELECTION}, as in {name}#text, and may name one of labels, "
            f"as in {name}#text,label=kind."
        )
    return Selection(name, texts, next(iter(labels), None))


def text_columns(asked: Selection, row: Mapping[str, Any], features: Mapping[str, Any]) -> list[str]:
    """Names of the text columns of ``row``, one or two: those ``asked`` for, else known names, else the only candidate.

    ``features`` maps columns to their types, as far as they are known. Raises :class:`CalibrationError` for a name that
    is not a column, for a table without text, and if several columns are candidates.
    """
    source = asked.source
    named = [*asked.texts, asked.label] if asked.label else asked.texts
    if missing := [name for name in named if name not in row]:
        raise CalibrationError(f"{source!r} has no column {missing[0]!r}; its columns are {', '.join(row)}.")
    if asked.texts:
        return list(asked.texts)
    others = {name: value for name, value in row.items() if name != asked.label}
    strings = [name for name, value in others.items() if isinstance(value, str) or _is_string(features.get(name))]
    for known in (*PAIRS, *((name,) for name in TEXTS)):
        if set(known) <= set(strings):
            return list(known)
    open_ones = [name for name in strings if name not in (*LABELS, *ANSWERS) and not _NO_TEXT.fullmatch(name)]
    if not open_ones:
        raise CalibrationError(f"The text {source!r} has no column of text; name one of its columns 'text'.")
    if len(open_ones) > 1:
        raise CalibrationError(
            f"{source!r} has several columns of text ({', '.join(open_ones)}); name the one to read as "
            f"'{source}#{open_ones[0]}', which two belong together as '{source}#{open_ones[0]},{open_ones[1]}', or one of "
            f"labels as '{source}#{open_ones[0]},label={open_ones[1]}'."
        )
    return open_ones


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string") and not hasattr(feature, "names")


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

    It is in the column ``named``, else in one of :data:`LABELS`. ``row`` is any row of the ``dataset``. For a
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
        given = row[column]
        if isinstance(given, float) and given.is_integer():  # tables with gaps hold whole numbers as floats
            given = int(given)
        label = None if given in (None, "") else numbers.get(str(given), str(given))
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
            start = starts[place] if place < len(starts) else None
            if start is None or not context.startswith(text, int(start)):
                start = context.find(text)
            yield Answer(text, int(start))


def _unpacked(value: Any) -> Any:
    """The value itself, or the list or object that it is as JSON."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
