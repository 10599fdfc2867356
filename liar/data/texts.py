"""Texts from anywhere: the demo bundle, a local file, or a dataset of the hub."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, IterableDataset, IterableDatasetDict, load_dataset
from datasets.utils import logging
from huggingface_hub import HfApi

from liar.data.bundle import articles
from liar.data.splits import Split, digest_of, split_of
from liar.data.tasks import LABELS, task_items
from liar.errors import CalibrationError

WIKI = "wiki"

_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".csv": ("csv", {}),
}
_TEXT_COLUMNS = ("text", "sentence", "content", "document")
_LABEL_COLUMNS = ("label", "labels")
_PROBE_SECONDS = 8.0
_SHUFFLE_BUFFER = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One text; ``label`` is the name (or number) of its class where the source has one."""

    text: str
    label: str | None = None


def read_samples(source: str, split: Split, seed: int | None = None, *, raw: bool = False) -> Iterator[Sample]:
    """Texts of ``source`` that are not empty, shuffled (files and datasets in a buffer of 10,000) when a ``seed`` is given;
    ``raw`` keeps empty ones and the white space at both ends, which belong to a running text.

    ``source`` is ``wiki``, ``sentiment`` or ``topic`` (the ``split`` of the demo bundle); the path of a .txt file
    (paragraphs between blank lines) or of a .jsonl or .csv file with a column of text; or a hub dataset as ``id``,
    ``id:config`` or ``id:config:split`` (without a split: ``split``, else what comes closest).
    Raises :class:`CalibrationError` for a source that is missing, out of reach or unreadable.
    """
    samples = _bundled(source, split)
    if samples is None:
        path = Path(source).expanduser()
        dataset = _open_file(path) if _is_file_name(path, source) else _open_hub(source, split)
        if seed is not None:
            dataset = dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
        rows = _rows(source, dataset)
        if raw:
            return rows
        stripped = (Sample(sample.text.strip(), sample.label) for sample in rows)
        return (sample for sample in stripped if sample.text)
    if seed is not None:
        random.Random(seed).shuffle(samples)
    return iter(samples)


def _bundled(source: str, split: Split) -> list[Sample] | None:
    """In the order of a hash, so that the first few are a fair sample."""
    if source == WIKI:
        chosen = [article for article in articles() if split_of(article.title) == split]
        return [Sample(article.extract) for article in sorted(chosen, key=lambda article: digest_of(article.title))]
    for task in LABELS:
        if source == task:
            items = task_items(task, split)
            return [
                Sample(text, items.label_names[label]) for text, label in zip(items.texts, items.labels, strict=True)
            ]
    return None


def _is_file_name(path: Path, source: str) -> bool:
    return path.exists() or path.suffix in _FORMATS or path.is_absolute() or source.startswith((".", "~"))


def _open_file(path: Path) -> IterableDataset:
    if not path.is_file():
        raise CalibrationError(f"There is no text file {path}; check the path, or take {WIKI}.")
    if path.suffix not in _FORMATS:
        raise CalibrationError(f"The text file {path} should end in one of: {', '.join(_FORMATS)}.")
    if path.stat().st_size == 0:
        raise CalibrationError(f"The text file {path} is empty; write some paragraphs into it, or take {WIKI}.")
    kind, options = _FORMATS[path.suffix]
    return load_dataset(kind, data_files=str(path), split="train", streaming=True, **options)


def _open_hub(source: str, split: Split) -> IterableDataset:
    name, config, part = [*source.split(":"), "", ""][:3]
    try:
        # Asked once and briefly: the datasets library would retry for longer than a person waits.
        HfApi().dataset_info(name, timeout=_PROBE_SECONDS)
        parts: IterableDatasetDict = load_dataset(name, config or None, streaming=True)
        preferred = [part] if part else [split, "test", "validation", "train"]
        return next(parts[each] for each in preferred if each in parts)
    except Exception as error:  # the hub client, its HTTP library and every builder raise their own
        raise CalibrationError(
            f"The text {source!r} is neither a file nor a dataset that the hub gives; check the spelling "
            f"(id:config:split) and the network, or take {WIKI}."
        ) from error


def _rows(source: str, dataset: IterableDataset) -> Iterator[Sample]:
    rows = iter(dataset)
    text_column: str | None = None
    while True:
        try:
            with _quiet_datasets():
                row = next(rows, None)
        except Exception as error:  # whatever the parser of that format raises
            raise CalibrationError(
                f"The text {source!r} cannot be read; check that it is UTF-8 and valid for its file type."
            ) from error
        if row is None:
            return
        if text_column is None:
            text_column = _text_column(source, row)
            label_of = _label_reader(dataset, row)
        yield Sample(str(row[text_column] or ""), label_of(row))


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """The library also logs what it raises; here the error is enough."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _text_column(source: str, row: Mapping[str, Any]) -> str:
    """The column with the name of one, else the first that holds text."""
    strings = [name for name, value in row.items() if isinstance(value, str)]
    for name in (*_TEXT_COLUMNS, *strings):
        if name in strings:
            return name
    raise CalibrationError(f"The text {source!r} has no column of text; name one of its columns 'text'.")


def _label_reader(dataset: IterableDataset, row: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str | None]:
    column = next((name for name in _LABEL_COLUMNS if name in row), None)
    if column is None:
        return lambda row: None
    feature = (dataset.features or {}).get(column)
    if isinstance(feature, ClassLabel):
        names = feature.names
        return lambda row: names[row[column]] if row[column] in range(len(names)) else None  # hidden ones are -1
    return lambda row: None if row[column] is None else str(row[column])
