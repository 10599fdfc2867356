"""Choice of the text columns of a table: common names are recognised, any other must be given with the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def selection(source: str) -> tuple[str, list[str]]:
    """Split a source from the column names behind it: ``id#question,context`` -> ``id``, ``[question, context]``.

    An existing file whose name contains the mark is not split. Raises :class:`CalibrationError` for an empty column
    name and for more than two.
    """
    if SELECTION not in source or Path(source).expanduser().exists():
        return source, []
    name, _, columns = source.rpartition(SELECTION)
    asked = [column.strip() for column in columns.split(",")]
    if not all(asked) or len(asked) > 2:
        raise CalibrationError(f"{source!r} should name one column or two behind its {SELECTION}, as in {name}#text.")
    return name, asked


def text_columns(source: str, asked: Sequence[str], row: Mapping[str, Any], features: Mapping[str, Any]) -> list[str]:
    """Names of the text columns of ``row``, one or two: ``asked``, else known names, else the only candidate.

    ``features`` maps columns to their types, as far as they are known. Raises :class:`CalibrationError` for a name that
    is not a column, for a table without text, and if several columns are candidates.
    """
    if missing := [name for name in asked if name not in row]:
        raise CalibrationError(f"{source!r} has no column {missing[0]!r}; its columns are {', '.join(row)}.")
    if asked:
        return list(asked)
    strings = [name for name, value in row.items() if isinstance(value, str) or _is_string(features.get(name))]
    for pair in PAIRS:
        if set(pair) <= set(strings):
            return list(pair)
    for name in TEXTS:
        if name in strings:
            return [name]
    open_ones = [name for name in strings if name not in (*LABELS, *ANSWERS) and not _is_no_text(name)]
    if not open_ones:
        raise CalibrationError(f"The text {source!r} has no column of text; name one of its columns 'text'.")
    if len(open_ones) > 1:
        raise CalibrationError(
            f"{source!r} has several columns of text ({', '.join(open_ones)}); name the one to read as "
            f"'{source}#{open_ones[0]}', or which two belong together as '{source}#{open_ones[0]},{open_ones[1]}'."
        )
    return open_ones


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string") and not hasattr(feature, "names")


def _is_no_text(name: str) -> bool:
    plain = name.casefold().strip("_")
    return plain in _NO_TEXT or plain.endswith(("_id", "_url", "_uri", "_idx"))
