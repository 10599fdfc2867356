"""Choice of the text columns of a table: common names are recognised, any other must be given with the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liar.errors import CalibrationError

PAIRS: tuple[tuple[str, str], ...] = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "context"),
    ("question", "passage"),
    ("text", "text_pair"),
    ("text1", "text2"),
)
"""Pairs of columns that a model reads as one input, as in GLUE, SNLI, BoolQ and SQuAD."""

TEXTS: tuple[str, ...] = ("text", "sentence", "content", "document")
LABELS: tuple[str, ...] = ("label", "labels")
"""Names of columns of labels."""
ANSWERS: tuple[str, ...] = ("answers", "answer")
"""Names of columns of accepted answers."""

_NO_TEXT = frozenset(
    {"id", "idx", "uid", "uuid", "guid", "pid", "key", "url", "uri", "link", "lang", "language", "split"}
)
"""Names of string columns that hold no text, only keys, addresses and the like."""


SELECTION = "#"
"""The mark between a source and the names of its columns."""
_LABEL = "label="
"""Before the name of the column of labels."""


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
    source, labels = asked.source, (*LABELS, asked.label)
    named = [*asked.texts, asked.label] if asked.label else asked.texts
    if missing := [name for name in named if name not in row]:
        raise CalibrationError(f"{source!r} has no column {missing[0]!r}; its columns are {', '.join(row)}.")
    if asked.texts:
        return list(asked.texts)
    strings = [name for name, value in row.items() if isinstance(value, str) or _is_string(features.get(name))]
    strings = [name for name in strings if name != asked.label]
    for pair in PAIRS:
        if set(pair) <= set(strings):
            return list(pair)
    for name in TEXTS:
        if name in strings:
            return [name]
    open_ones = [name for name in strings if name not in (*labels, *ANSWERS) and not _is_no_text(name)]
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


def _is_no_text(name: str) -> bool:
    plain = name.casefold().strip("_")
    return plain in _NO_TEXT or plain.endswith(("_id", "_url", "_uri", "_idx"))
