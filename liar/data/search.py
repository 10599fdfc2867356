"""Searches: queries, the documents among which they search, and which of these are right.

From pairs of a query and a document that answers it, or from a folder in the layout of BEIR (arXiv 2104.08663).

>>> from liar.data.search import Search
>>> search = Search.of_pairs([("red", "a red text"), ("blue", "a blue text"), ("not blue", "a red text")])
>>> search.documents, search.right
(['a red text', 'a blue text'], [{0: 1.0}, {1: 1.0}, {0: 1.0}])
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liar.data.text_reader import read_samples
from liar.errors import CalibrationError
from liar.tasks.splits import Split, digest_of

MOST_DOCUMENTS = 200_000
"""Documents that are read at most: each of them becomes a vector in memory."""

_CORPUS, _QUERIES, _QRELS = "corpus.jsonl", "queries.jsonl", "qrels"


@dataclass(frozen=True, slots=True)
class Search:
    """``right`` has for each of ``queries`` the places of the right ``documents``, with the grade of each, above zero.

    ``source`` and ``split`` say where they are from; a file has no parts.
    """

    queries: list[str]
    documents: list[str]
    right: list[dict[int, float]]
    source: str = ""
    split: str | None = None

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]], source: str = "", split: str | None = None) -> Search:
        """Of a query and its document each; the documents of all pairs are searched, equal texts count once."""
        queries: dict[str, dict[int, float]] = {}
        documents: dict[str, int] = {}
        for query, document in pairs:
            place = documents.setdefault(document, len(documents))
            queries.setdefault(query, {})[place] = 1.0
        return cls(list(queries), list(documents), list(queries.values()), source, split)

    def first(self, limit: int) -> Search:
        """The first ``limit`` queries, in all documents."""
        return Search(self.queries[:limit], self.documents, self.right[:limit], self.source, self.split)

    @property
    def digests(self) -> set[int]:
        """Those of its documents, as :class:`liar.data.text_reader.Samples` has them."""
        return {digest_of(document) for document in self.documents}


def read_search(source: str, split: Split) -> Search:
    """The search of a task of the demo bundle, of a folder of BEIR, or of a table with the columns query and positive.

    A folder has ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl`` (``_id``, ``text``) and
    ``qrels/SPLIT.tsv`` (``query-id``, ``corpus-id``, ``score``). Raises :class:`CalibrationError` for a source that is missing
    or unreadable, without pairs, without queries, with fewer than two documents, and with more than :data:`MOST_DOCUMENTS`.
    """
    folder = Path(source).expanduser()
    found = _of_folder(folder, source, split) if folder.is_dir() else _of_table(source, split)
    if not found.queries:
        raise CalibrationError(
            f"{source!r} has no query with a right document; give pairs in the columns query and positive, or qrels that name "
            "queries and documents which are there."
        )
    if len(found.documents) < 2:
        raise CalibrationError(f"{source!r} has one document, which any model finds; give two or more.")
    return found


def _of_table(source: str, split: Split) -> Search:
    read = read_samples(source, split)
    pairs: list[tuple[str, str]] = []
    for sample in read:
        if sample.pair is None:
            raise CalibrationError(
                f"{source!r} has one column of text, and a search needs two; name them query and positive, or yours with "
                "#QUERY,POSITIVE behind the source."
            )
        if sample.text and sample.pair:
            pairs.append((sample.text, sample.pair))
        _check_number(len(pairs), source)
    return Search.of_pairs(pairs, read.source, read.split)


def _of_folder(folder: Path, source: str, split: Split) -> Search:
    parts = {path.stem: path for path in sorted((folder / _QRELS).glob("*.tsv"))}
    if not parts or not all((folder / name).is_file() for name in (_CORPUS, _QUERIES)):
        raise CalibrationError(
            f"The folder {source!r} is no search; give one with {_CORPUS}, {_QUERIES} and {_QRELS}/test.tsv, as BEIR has them, "
            "or a CSV with the columns query and positive."
        )
    name = next((name for name in (split, "test", "validation", "dev") if name in parts), next(iter(parts)))
    places: dict[str, int] = {}
    documents: list[str] = []
    for number, row in enumerate(_rows(folder / _CORPUS)):
        _check_number(number, source)
        text = " ".join(
            part for part in (str(row.get("title") or "").strip(), str(row.get("text") or "").strip()) if part
        )
        if text:
            places[str(row.get("_id"))] = len(documents)
            documents.append(text)
    texts = {str(row.get("_id")): str(row.get("text") or "").strip() for row in _rows(folder / _QUERIES)}
    right: dict[str, dict[int, float]] = {}
    for query, document, grade in _grades(parts[name]):
        if grade > 0 and document in places and texts.get(query):
            right.setdefault(query, {})[places[document]] = grade
    return Search([texts[query] for query in right], documents, list(right.values()), source, name)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, Mapping):
                        raise ValueError
                    yield row
    except (ValueError, OSError) as error:
        raise CalibrationError(
            f"{path} cannot be read; it should have a JSON object in each line, in UTF-8."
        ) from error


def _grades(path: Path) -> Iterator[tuple[str, str, float]]:
    """Query, document and grade of each line; a line without a number, such as that of the names, is left out."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for cells in csv.reader(file, delimiter="\t"):
                try:
                    yield cells[0], cells[-2], float(cells[-1])
                except (ValueError, IndexError):
                    continue
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise CalibrationError(f"{path} cannot be read; it should be a table with tabs between its columns.") from error


def _check_number(documents: int, source: str) -> None:
    if documents > MOST_DOCUMENTS:
        raise CalibrationError(
            f"{source!r} has more than {MOST_DOCUMENTS:,} documents, the most that are read here; give a sample of them."
        )
