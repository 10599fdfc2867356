"""Local copies of datasets of the hub.

A copy of the configuration ``cola`` of ``nyu-mll/glue`` is in ``FOLDER/nyu-mll/glue/cola``: parquet files as the hub has them
(``train-00000-of-00001.parquet``), or what ``save_to_disk`` of the datasets library wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset, DatasetDict, load_from_disk
from datasets.table import InMemoryTable
from pyarrow import concat_tables
from pyarrow.parquet import read_table

from liar.data.hub import Part
from liar.errors import CalibrationError
from liar.tasks.record import HubData

_CONFIG = "plain_text"
"""Folder of a dataset that has one configuration."""
_SHARD = re.compile(r"-\d{5}-of-(\d{5})$")


def open_copy(folder: str, data: HubData, part: str) -> Part:
    """One part of the copy of a dataset below ``folder``.

    Raises :class:`CalibrationError` if the folder has no such dataset, configuration or part, or damaged or missing files.
    """
    root = Path(folder).expanduser()
    if root.is_file():
        raise CalibrationError(
            f"{folder} is a file, and {data.dataset} is read from a folder with a copy of it; name that folder, or measure the "
            "file with the task own."
        )
    if not root.is_dir():
        raise CalibrationError(
            f"There is no folder {folder}; name with --data the one that holds a copy of {data.dataset}, or leave it out to "
            "read from the hub."
        )
    inside = f"{data.dataset}/{data.config or _CONFIG}"
    place = root / inside
    try:
        dataset = _saved(place, part) if (place / "dataset_dict.json").is_file() else _downloaded(place, part)
    except CalibrationError:
        raise
    except Exception as error:  # the datasets library and pyarrow raise their own
        raise CalibrationError(
            f"The files of part {part!r} in {place} cannot be read; copy them once more, they may be partly downloaded."
        ) from error
    if dataset is None:
        raise CalibrationError(
            f"The folder {folder} has no part {part!r} of {data.dataset}; put its files there as the hub has them, such as "
            f"{inside}/{part}-00000-of-00001.parquet, or write them to {inside} with save_to_disk of datasets."
        )
    return Part(part, dataset.to_iterable_dataset(), len(dataset))


def _saved(place: Path, part: str) -> Dataset | None:
    """A part of what ``save_to_disk`` wrote."""
    saved = load_from_disk(str(place))
    return saved.get(part) if isinstance(saved, DatasetDict) else None


def _downloaded(place: Path, part: str) -> Dataset | None:
    """A part in parquet files, read whole: a shuffled stream of it waits five seconds at its end (datasets 5)."""
    files = sorted(file for file in place.glob(f"{part}-*.parquet") if _SHARD.search(file.stem))
    if not files:
        return None
    counts = {int(found.group(1)) for file in files if (found := _SHARD.search(file.stem))}
    if counts != {len(files)}:
        raise CalibrationError(
            f"Part {part!r} in {place} has {len(files)} of {max(counts)} files, so it is partly downloaded; copy it once more."
        )
    return Dataset(InMemoryTable(concat_tables(read_table(file) for file in files)))
