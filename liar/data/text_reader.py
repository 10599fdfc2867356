"""One reader for the texts of the demo bundle, of a local file or of a hub dataset.

>>> from liar.data.text_reader import read_samples
>>> [sample.text for sample in read_samples("notes.txt", "train")][:2]
['Note 0 is about the number 0.', 'Note 1 is about the number 1.']
"""

from __future__ import annotations

import csv
import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby, islice, zip_longest
from pathlib import Path
from typing import Any

from datasets import load_dataset

from liar.data.columns import Selection, answers_reader, label_names, label_reader, selection, text_columns
from liar.data.hub import Part, open_copy, open_named, open_part
from liar.errors import CalibrationError
from liar.loading.demo_bundle import fetch_demo
from liar.runtime.quiet import quiet
from liar.tasks.record import DemoData, HubData, Keyed, Task
from liar.tasks.registry import TASKS
from liar.tasks.samples import Article, RatedSentence, Sample
from liar.tasks.splits import Split, digest_of, part_of
from liar.tasks.texts import WIKI, Text, text_named

_FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".csv": ("csv", {"keep_default_na": False}),  # a text such as "None" or "NA" is a text
}
_DELIMITERS = (",", ";", "\t", "|")
_SHUFFLE_BUFFER = 10_000
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Samples:
    """Texts of a ``source``; they can be iterated once.

    ``split`` is the part that was read, None for a file, which has no parts. ``label_names`` are all possible labels,
    empty if the source does not list them. ``number`` is that of all texts, None if it is not known. ``digests`` are those of
    the texts that were read so far, by which two sources with a text in common are known.
    """

    source: str
    split: str | None
    _rows: Iterator[Sample]
    label_names: tuple[str, ...] = ()
    number: int | None = None
    digests: set[int] = field(default_factory=set, compare=False)

    def __iter__(self) -> Iterator[Sample]:
        for sample in self._rows:
            if text := sample.joined.strip():
                self.digests.add(digest_of(text))
            yield sample


def read_samples(
    source: str, split: Split, seed: int | None = None, *, raw: bool = False, data: str | None = None
) -> Samples:
    """The non-empty texts of ``source``, shuffled if ``seed`` is given (files and datasets in a buffer of 10,000).

    ``raw`` keeps empty texts and the white space at both ends, which are part of a running text. ``source`` is
    a text of the demo bundle or a task (of which part ``split`` is read), for a task of the hub from the copy below the
    folder ``data`` if one is given; the path of a .txt file (paragraphs
    between blank lines), a .jsonl or a .csv file (commas, semicolons, tabs or bars separate its columns); or a hub dataset
    as ``id``, ``id:config`` or ``id:config:split``. ``#column`` or ``#first,second`` behind it names its text columns,
    ``#column,label=other`` the one of labels too (:func:`liar.data.columns.selection`).

    Without a named split, "train" reads the training part of a dataset, else its validation part. "validation" and
    "test" read the part of that name ("test", if it is missing, the validation part), but never the part of "train".

    Raises :class:`CalibrationError` for a source that is missing, unreachable or unreadable, and for a dataset without
    such a part.
    """
    task = next((task for task in TASKS if task.name == source), None)
    text = text_named(source)
    own = DemoData((text,)) if text is not None else task.data if task is not None else None
    if isinstance(own, DemoData):
        bundled = demo_samples(own, split)
        read = Samples(source, split, iter(bundled), task.labels if task is not None else (), len(bundled))
        if seed is None:
            return read
        shuffled = list(read)
        random.Random(seed).shuffle(shuffled)
        return replace(read, _rows=iter(shuffled))
    if task is not None:
        if not isinstance(own, HubData):
            raise CalibrationError(f"{source} has no text to read here; name a file, a hub dataset, or {WIKI.id}.")
        name = own.parts[split]
        part = open_copy(data, own, name) if data is not None else open_part(own, name)
        asked = Selection(source, task.columns)
    else:
        asked = selection(source)
        path = Path(asked.source).expanduser()
        part = _open_file(path) if _is_file_name(asked.source) else open_named(asked.source, split)
    dataset = part.dataset if seed is None else part.dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
    rows = _rows(asked, replace(part, dataset=dataset), task)
    names = task.labels if task is not None else label_names(part.dataset, asked.label)
    return Samples(source, part.name, rows if raw else _written(rows), names, part.number)


def _written(rows: Iterator[Sample]) -> Iterator[Sample]:
    for sample in rows:
        pair = sample.pair
        if pair is not None and not sample.answers:  # answers are positions in a context, which stays as it is
            pair = pair.strip()
        text = sample.text.strip()
        if text or pair:
            yield replace(sample, text=text, pair=pair)


def _is_file_name(source: str) -> bool:
    """Whether ``source``, without names of columns, is the path of a file, otherwise a name of the hub."""
    path = Path(source).expanduser()
    return path.exists() or path.suffix in _FORMATS or path.is_absolute() or source.startswith((".", "~"))


def _open_file(path: Path) -> Part:
    if path.is_dir():
        raise CalibrationError(f"{path} is a folder; name one of its files, which should end in {', '.join(_FORMATS)}.")
    if not path.is_file():
        raise CalibrationError(f"There is no text file {path}; check the path.")
    if path.suffix not in _FORMATS:
        raise CalibrationError(f"The text file {path} should end in one of: {', '.join(_FORMATS)}.")
    if path.stat().st_size == 0:
        raise CalibrationError(f"The text file {path} is empty; name one that holds text.")
    kind, options = _FORMATS[path.suffix]
    if kind == "csv":
        options = {**options, "sep": _delimiter(path)}
    return Part(None, load_dataset(kind, data_files=str(path), split="train", streaming=True, **options))


def _delimiter(path: Path) -> str:
    """The character that separates the columns of a CSV: of :data:`_DELIMITERS` the one that makes most of its first line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            first = "".join(islice(file, 1))
        return max(_DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), ())))
    except (UnicodeDecodeError, csv.Error):  # the reader of the whole file says so
        return _DELIMITERS[0]


def _rows(asked: Selection, part: Part, task: Task | None) -> Iterator[Sample]:
    columns: list[str] = []
    for row in _read(asked.source, part):
        if not columns:
            columns = text_columns(asked, row, part.dataset.features or {})
            label_of = label_reader(asked.source, part.dataset, row, task, asked.label)
            answers_of = answers_reader(row)
        texts = [str(row[column] or "") for column in columns]
        pair = texts[1] if len(texts) > 1 else None
        yield Sample(texts[0], label_of(row), pair, answers_of(row, pair))


def _read(source: str, part: Part) -> Iterator[Mapping[str, Any]]:
    rows = iter(part.dataset)
    while True:
        try:
            # A few rows at a time, since to quiet the log, which repeats every error, takes longer than to read one.
            with quiet("datasets", level=logging.CRITICAL):
                few = list(islice(rows, _AT_ONCE))
        except Exception as error:  # each parser raises its own
            raise _unreadable(source, part) from error
        if not few:
            return
        yield from few


def _unreadable(source: str, part: Part) -> CalibrationError:
    if part.name is None:
        separated = ", with , ; tab or | between its columns" if Path(source).suffix == ".csv" else ""
        return CalibrationError(
            f"The text {source!r} cannot be read; check that it is UTF-8 and valid for its file type{separated}."
        )
    return CalibrationError(
        f"Part {part.name!r} of {source!r} cannot be read to its end; check the network, or, if it is a copy, copy it once "
        "more, it may be partly downloaded."
    )


# -- the demo bundle ----------------------------------------------------------------------------------------------------


@cache
def rows_of(text: Text) -> tuple[Article, ...] | tuple[RatedSentence, ...]:
    """All rows of ``text``: articles sorted by title, or sentences in the order of the file.

    Fetches the demo bundle if it is missing; raises what ``fetch_demo`` raises.
    """
    content = (fetch_demo() / text.file).read_text(encoding="utf-8")
    if text.is_rated:
        lines = (line.split("\t", 2) for line in content.splitlines() if line.strip())
        # The file doubles every apostrophe: 'Conan' is written ''Conan''. A number is "document_sentence", or one sentence.
        return tuple(
            RatedSentence(sentence.replace("''", "'").strip(), float(rating), number.partition("_")[0])
            for number, rating, sentence in lines
        )
    found = (
        Article(entry["title"], entry["extract"].strip(), entry["topic"], (entry.get("description") or "").strip())
        for entry in json.loads(content).values()
    )
    return tuple(sorted(found, key=lambda article: article.title))


def demo_samples(data: DemoData, split: Split) -> list[Sample]:
    """All samples of one part of a demo task, sorted by a hash, so that the first few are a random sample; of several texts in
    turn.

    A sample that the source repeats counts once, and none is in two parts. Raises what ``fetch_demo`` raises.
    """
    build = data.build or _documents
    parts = [list(part_of(build(rows_of(text)), split).values()) for text in data.texts]
    if data.build is None:  # windows are taken of one text after the other
        return [sample for part in parts for sample in part]
    in_turn = (sample for samples in zip_longest(*parts) for sample in samples if sample is not None)
    return list({digest_of(sample.joined): sample for sample in in_turn}.values()) if len(parts) > 1 else list(in_turn)


def _documents(rows: Sequence[Article | RatedSentence]) -> Iterator[Keyed]:
    """Documents, each with the key that decides its part: its title, else its first sentence."""
    yield from ((row.title, Sample(row.extract)) for row in rows if isinstance(row, Article))
    sentences = (row for row in rows if isinstance(row, RatedSentence))
    for _, document in groupby(sentences, key=lambda sentence: sentence.document):
        parts = [sentence.text for sentence in document]
        yield parts[0], Sample(" ".join(parts))
