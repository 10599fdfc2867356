"""Plain texts from anywhere: the demo bundle, a local file, or a dataset of the hub."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import IterableDataset, load_dataset
from huggingface_hub import HfApi

from liar.data.splits import Split
from liar.data.tasks import LABELS, articles, task_items
from liar.errors import CalibrationError

_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
}
_TEXT_COLUMNS = ("text", "sentence", "content", "document")
_PROBE_SECONDS = 8.0
_SHUFFLE_BUFFER = 10_000


def read_texts(source: str, split: Split, seed: int | None = None) -> Iterator[str]:
    """Texts of ``source`` that are not empty; shuffled when a ``seed`` is given.

    ``source``: ``wiki``, ``sentiment`` or ``topic`` of the demo bundle; the path of a .txt (paragraphs between blank
    lines), .jsonl or .csv file; or a hub dataset as ``id``, ``id:config`` or ``id:config:split``. ``split`` is that of
    the demo bundle, and of a hub dataset that names none. Raises :class:`CalibrationError`.
    """
    texts: Iterable[str]
    if source == "wiki" or source in LABELS:
        known = [article.text for article in articles(split)] if source == "wiki" else _task_texts(source, split)
        if seed is not None:
            random.Random(seed).shuffle(known)
        texts = known
    else:
        texts = _column(source, _open(source, split), seed)
    return (text for text in texts if text.strip())


def _task_texts(source: str, split: Split) -> list[str]:
    return next(task_items(task, split).texts for task in LABELS if task == source)


def _open(source: str, split: Split) -> IterableDataset:
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix not in _FORMATS:
            raise CalibrationError(f"The text file {source} should end in one of: {', '.join(_FORMATS)}.")
        kind, options = _FORMATS[path.suffix]
        if path.stat().st_size == 0:
            raise CalibrationError(f"The text file {source} is empty; give one with at least a few paragraphs.")
        return load_dataset(kind, data_files=str(path), split="train", streaming=True, **options)
    if path.suffix in _FORMATS or path.is_absolute() or source.startswith((".", "~")):
        raise CalibrationError(f"There is no text file {source}; check the path.")
    return _open_hub(source, split)


def _open_hub(source: str, split: Split) -> IterableDataset:
    name, config, part = (source.split(":") + ["", ""])[:3]
    try:
        # Asked once and briefly: the datasets library would retry for longer than a person waits.
        HfApi().dataset_info(name, timeout=_PROBE_SECONDS)
        return load_dataset(name, config or None, split=part or split, streaming=True)
    except Exception as error:  # the hub client and every dataset format raise their own
        raise CalibrationError(
            f"The text {source!r} is neither a file nor a dataset that can be read from the hub; check the spelling "
            "(id:config:split) and the network, or use wiki."
        ) from error


def _column(source: str, dataset: IterableDataset, seed: int | None) -> Iterator[str]:
    """The values of the first column that looks like text."""
    if seed is not None:
        dataset = dataset.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
    column: str | None = None
    rows = iter(dataset)
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # whatever the parser of that format raises
            raise CalibrationError(f"The text {source!r} cannot be read; it is not valid for its file type.") from error
        if row is None:
            return
        column = column or _text_column(source, row)
        yield str(row[column] or "")


def _text_column(source: str, row: Mapping[str, Any]) -> str:
    strings = [name for name, value in row.items() if isinstance(value, str)]
    for name in (*_TEXT_COLUMNS, *strings):
        if name in strings:
            return name
    raise CalibrationError(f"The text {source!r} has no column of text; name one of its columns 'text'.")
