"""One reader for the texts of the demo bundle, of a local file or of a hub dataset.

>>> from liar.data.texts import read_samples
>>> [sample.text for sample in read_samples("notes.txt", "train")][:2]
['Note 0 is about the number 0.', 'Note 1 is about the number 1.']
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import ClassLabel, IterableDataset, IterableDatasetDict, load_dataset
from datasets.utils import logging
from huggingface_hub import HfApi

from liar.data.columns import ANSWERS as ANSWER_COLUMNS
from liar.data.columns import LABELS as LABEL_COLUMNS
from liar.data.columns import selection, text_columns
from liar.data.copies import open_copy, open_part
from liar.data.tasks import demo_samples, text_samples
from liar.errors import CalibrationError
from liar.tasks.items import Answer, Sample
from liar.tasks.record import DemoData, HubData, Task
from liar.tasks.registry import TASKS
from liar.tasks.splits import Split
from liar.tasks.texts import WIKI, text_named

_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".csv": ("csv", {}),
}
_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Names of the parts of a dataset, or how they begin (``validation_matched``)."""
_PROBE_SECONDS = 8.0
_SHUFFLE_BUFFER = 10_000


HIDDEN = "-1"
"""The label in published test sets whose true labels are withheld."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Texts of a ``source``; they can be iterated once.

    ``split`` is the part that was read, None for a file, which has no parts. ``label_names`` are all possible labels,
    empty if the source does not list them. ``number`` is that of all texts, None if it is not known.
    """

    source: str
    split: str | None
    _rows: Iterator[Sample]
    label_names: tuple[str, ...] = ()
    number: int | None = None

    def __iter__(self) -> Iterator[Sample]:
        return self._rows


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
    part: str | None = None
    if _is_file_name(path, name):
        dataset = _open_file(path)
    else:
        part, dataset = _open_hub(name, split)
    if seed is not None:
        dataset = dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
    rows = _rows(name, asked, dataset)
    return Samples(source, part, rows if raw else _written(rows), _label_names(dataset))


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
    part = task.data.parts[split]
    dataset = open_copy(data, task.data, part) if data is not None else open_part(task.data, part)
    if seed is not None:
        dataset = dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
    rows = _rows(task.name, task.columns, dataset, task)
    return Samples(task.name, part, _written(rows), task.labels)


def _is_file_name(path: Path, source: str) -> bool:
    return path.exists() or path.suffix in _FORMATS or path.is_absolute() or source.startswith((".", "~"))


def _open_file(path: Path) -> IterableDataset:
    if not path.is_file():
        raise CalibrationError(f"There is no text file {path}; check the path, or take {WIKI.id}.")
    if path.suffix not in _FORMATS:
        raise CalibrationError(f"The text file {path} should end in one of: {', '.join(_FORMATS)}.")
    if path.stat().st_size == 0:
        raise CalibrationError(f"The text file {path} is empty; write some paragraphs into it, or take {WIKI.id}.")
    kind, options = _FORMATS[path.suffix]
    return load_dataset(kind, data_files=str(path), split="train", streaming=True, **options)


def _open_hub(source: str, split: Split) -> tuple[str, IterableDataset]:
    """The name of the part to read, and the part."""
    name, config, part = [*source.split(":"), "", ""][:3]
    try:
        # Probe with a short timeout first, because the datasets library retries for a long time.
        HfApi().dataset_info(name, timeout=_PROBE_SECONDS)
        parts: IterableDatasetDict = load_dataset(name, config or None, streaming=True)
        chosen = part or _part_for(split, list(parts))
        if chosen is not None:
            return chosen, parts[chosen]
    except Exception as error:  # the hub client, its HTTP library and every builder raise their own
        raise CalibrationError(
            f"The text {source!r} is neither a file nor a dataset that the hub gives; check the spelling "
            f"(id:config:split) and the network, or take {WIKI.id}."
        ) from error
    purpose = "calibrate" if split == "train" else "measure"
    raise CalibrationError(
        f"{source!r} has no part to {purpose} on that is not kept for something else (it has {', '.join(parts)}); name the "
        f"part yourself, as in {name}:{config or 'CONFIG'}:{next(iter(parts), 'SPLIT')}, where nothing else reads it."
    )


def _part_for(split: Split, parts: Sequence[str]) -> str | None:
    """The part for ``split``, None if there is none; never the calibration part ("train") for an evaluation."""
    found = {
        kind: next((part for name in names for part in parts if part.startswith(name)), None)
        for kind, names in _NAMES.items()
    }
    calibration = found["train"] or found["validation"]
    if split == "train":
        return calibration
    held_out = [found["validation"]] if split == "validation" else [found["test"], found["validation"]]
    return next((part for part in held_out if part is not None and part != calibration), None)


def _rows(source: str, asked: Sequence[str], dataset: IterableDataset, task: Task | None = None) -> Iterator[Sample]:
    rows = iter(dataset)
    columns: list[str] = []
    while True:
        try:
            with _quiet_datasets():
                row = next(rows, None)
        except Exception as error:  # each parser raises its own
            raise CalibrationError(
                f"The text {source!r} cannot be read; check that it is UTF-8 and valid for its file type."
            ) from error
        if row is None:
            return
        if not columns:
            columns = text_columns(source, asked, row, dataset.features or {})
            label_of, answers_of = _label_reader(source, dataset, row, task), _answers_reader(row)
        texts = [str(row[column] or "") for column in columns]
        pair = texts[1] if len(texts) > 1 else None
        yield Sample(texts[0], label_of(row), pair, answers_of(row, pair))


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Silence the log of the datasets library, which repeats every error that it raises."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _label_names(dataset: IterableDataset) -> tuple[str, ...]:
    features = dataset.features or {}
    found = (features[name] for name in LABEL_COLUMNS if isinstance(features.get(name), ClassLabel))
    return tuple(next((feature.names for feature in found), ()))


def _label_reader(
    source: str, dataset: IterableDataset, row: Mapping[str, Any], task: Task | None
) -> Callable[[Mapping[str, Any]], str | None]:
    """A function that gives the label of a row: its name if the data or the ``task`` name it, else what is written."""
    column = next((name for name in LABEL_COLUMNS if name in row), None)
    if task is not None and task.head != "span" and column is None:
        raise CalibrationError(
            f"The data of {source} have no column {task.label!r} (they have {', '.join(row)}); take an unchanged copy of the "
            "dataset."
        )
    if column is None:
        return lambda row: None
    feature = (dataset.features or {}).get(column)
    names = feature.names if isinstance(feature, ClassLabel) else list(task.labels) if task is not None else []
    numbers = {str(number): name for number, name in enumerate(names)}
    return lambda row: None if row[column] is None else numbers.get(str(row[column]), str(row[column]))


def _answers_reader(row: Mapping[str, Any]) -> Callable[[Mapping[str, Any], str | None], tuple[Answer, ...]]:
    """A function that gives the accepted answers of a row, from a column like that of SQuAD or from one of plain text."""
    column = next((name for name in ANSWER_COLUMNS if name in row), None)
    if column is None:
        return lambda row, context: ()
    return lambda row, context: tuple(_answers(row[column], context or ""))


def _answers(given: Any, context: str) -> Iterator[Answer]:
    if isinstance(given, Mapping):
        starts = given.get("answer_start") or []
        yield from (Answer(text, int(start)) for text, start in zip(given.get("text") or [], starts, strict=False))
        return
    for text in given if isinstance(given, list) else [given]:
        if text:
            yield Answer(str(text), max(context.find(str(text)), 0))
