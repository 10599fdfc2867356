"""One reader for the texts of the demo bundle, of a local file or of a hub dataset.

>>> from liar.data.texts import read_samples
>>> [sample.text for sample in read_samples("notes.txt", "train")][:2]
['Note 0 is about the number 0.', 'Note 1 is about the number 1.']
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.utils import logging

from liar.data.columns import selection, text_columns
from liar.data.copies import CSV, open_copy
from liar.data.hub import Part, open_named, open_part
from liar.data.labels import answers_reader, label_names, label_reader
from liar.data.tasks import demo_samples, text_samples
from liar.errors import CalibrationError
from liar.tasks.items import Sample
from liar.tasks.record import DemoData, HubData, Task
from liar.tasks.registry import TASKS
from liar.tasks.splits import Split, digest_of
from liar.tasks.texts import WIKI, text_named

_FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".csv": ("csv", CSV),
}
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
    between blank lines), a .jsonl or a .csv file; or a hub dataset as ``id``, ``id:config`` or ``id:config:split``.
    ``#column`` or ``#first,second`` behind it names its text columns (:func:`liar.data.columns.text_columns`).

    Without a named split, "train" reads the training part of a dataset, else its validation part. "validation" and
    "test" read the part of that name ("test", if it is missing, the validation part), but never the part of "train".

    Raises :class:`CalibrationError` for a source that is missing, unreachable or unreadable, and for a dataset without
    such a part.
    """
    if (bundled := _bundled(source, split)) is not None:
        if seed is None:
            return bundled
        shuffled = list(bundled)
        random.Random(seed).shuffle(shuffled)
        return replace(bundled, _rows=iter(shuffled))
    if (task := _task_of_the_hub(source)) is not None:
        return _of_the_hub(task, split, seed, data)
    name, asked = selection(source)
    path = Path(name).expanduser()
    part = _open_file(path) if _is_file_name(name) else open_named(name, split)
    return _of_part(source, name, asked, part, seed, raw=raw)


def _of_part(
    source: str,
    name: str,
    columns: Sequence[str],
    part: Part,
    seed: int | None,
    task: Task | None = None,
    *,
    raw: bool = False,
) -> Samples:
    dataset = part.dataset
    if seed is not None:
        dataset = dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
    rows = _rows(name, columns, replace(part, dataset=dataset), task)
    names = task.labels if task is not None else label_names(part.dataset)
    return Samples(source, part.name, rows if raw else _written(rows), names, part.number)


def _written(rows: Iterator[Sample]) -> Iterator[Sample]:
    for sample in rows:
        pair = sample.pair
        if pair is not None and not sample.answers:  # answers are positions in a context, which stays as it is
            pair = pair.strip()
        text = sample.text.strip()
        if text or pair:
            yield replace(sample, text=text, pair=pair)


def _bundled(source: str, split: Split) -> Samples | None:
    """Samples of the demo bundle, sorted by a hash, so that the first few are a random sample; None for other sources."""
    if (text := text_named(source)) is not None:
        documents = text_samples(text, split)
        return Samples(source, split, iter(documents), number=len(documents))
    task = next((task for task in TASKS if task.name == source), None)
    if task is None or not isinstance(task.data, DemoData):
        return None
    samples = demo_samples(task.data, split)
    return Samples(source, split, iter(samples), task.labels, len(samples))


def _task_of_the_hub(source: str) -> Task | None:
    task = next((task for task in TASKS if task.name == source), None)
    if task is None or isinstance(task.data, HubData):
        return task
    raise CalibrationError(f"{source} has no text to read here; name a file, a hub dataset, or {WIKI.id}.")


def _of_the_hub(task: Task, split: Split, seed: int | None, data: str | None) -> Samples:
    assert isinstance(task.data, HubData)
    name = task.data.parts[split]
    part = open_copy(data, task.data, name) if data is not None else open_part(task.data, name)
    return _of_part(task.name, task.name, task.columns, part, seed, task)


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
    return Part(None, load_dataset(kind, data_files=str(path), split="train", streaming=True, **options))


def _rows(source: str, asked: Sequence[str], part: Part, task: Task | None) -> Iterator[Sample]:
    columns: list[str] = []
    for row in _read(source, part):
        if not columns:
            columns = text_columns(source, asked, row, part.dataset.features or {})
            label_of, answers_of = label_reader(source, part.dataset, row, task), answers_reader(row)
        texts = [str(row[column] or "") for column in columns]
        pair = texts[1] if len(texts) > 1 else None
        yield Sample(texts[0], label_of(row), pair, answers_of(row, pair))


def _read(source: str, part: Part) -> Iterator[Mapping[str, Any]]:
    rows = iter(part.dataset)
    while True:
        try:
            with _quiet_datasets():  # a few rows at a time, since it takes longer than reading one
                few = list(islice(rows, _AT_ONCE))
        except Exception as error:  # each parser raises its own
            raise _unreadable(source, part) from error
        if not few:
            return
        yield from few


def _unreadable(source: str, part: Part) -> CalibrationError:
    if part.name is None:
        return CalibrationError(
            f"The text {source!r} cannot be read; check that it is UTF-8 and valid for its file type."
        )
    return CalibrationError(
        f"Part {part.name!r} of {source!r} cannot be read to its end; check the network, or, if it is a copy, copy it once "
        "more, it may be partly downloaded."
    )


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Silence the log of the datasets library, which repeats every error that it raises."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
