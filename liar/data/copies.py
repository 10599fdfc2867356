"""Local copies of datasets of the hub, in the hub's layout, opened by the datasets library.

A copy of ``nyu-mll/glue`` is in ``FOLDER/nyu-mll/glue``, ``FOLDER/glue`` or ``FOLDER`` itself, its configuration
``cola`` in a folder of that name, which FOLDER may also be. Files of one part begin with the part's name
(``train-00000-of-00001.parquet``, ``validation.jsonl``) or are in a folder of that name, or everything is as
``save_to_disk`` writes it. FOLDER may also be a cache of the hub (``datasets--nyu-mll--glue``) or of the datasets library
(``nyu-mll___glue``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.table import InMemoryTable
from pyarrow import concat_tables
from pyarrow.parquet import read_table

from liar.data.hub import Part
from liar.errors import CalibrationError
from liar.tasks.record import HubData

CSV: Mapping[str, Any] = {"keep_default_na": False}
"""Options for reading CSV: a text such as "None" or "NA" is a text."""

_BUILDERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".arrow": ("arrow", {}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", CSV),
}
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
    for place in _places(root, data):
        if (saved := _saved(place, part)) is not None:
            return _of_saved(saved, data, part)
        if files := _files(place, data, part):
            _check_shards(files, place, part)
            return _of_files(files, place, part)
    name = data.dataset.rpartition("/")[2]
    inside = f"{name}/{data.config}" if data.config else name
    raise CalibrationError(
        f"The folder {folder} has no part {part!r} of {data.dataset}; put its files there as the hub has them, such as "
        f"{inside}/{part}-00000-of-00001.parquet, or as save_to_disk of datasets writes them."
    )


def _places(root: Path, data: HubData) -> Iterator[Path]:
    """Folders that may hold the files of the dataset."""
    owner, _, name = data.dataset.rpartition("/")
    configs = [data.config] if data.config else ["plain_text", "default", ""]
    snapshots = sorted((root / f"datasets--{owner}--{name}" / "snapshots").glob("*"))
    bases = [root / data.dataset, root / name, *snapshots, root]
    yield from (base / config for base in bases for config in configs)
    yield from (base / "data" for base in bases if not data.config)
    yield from (place for config in configs for place in sorted((root / f"{owner}___{name}" / config).glob("*/*")))
    if data.config == root.name:
        yield root


def _saved(place: Path, part: str) -> Path | None:
    """The folder that ``save_to_disk`` wrote in ``place``, of all parts or of this one."""
    if (place / "dataset_dict.json").is_file():
        return place
    return place / part if (place / part / "dataset_info.json").is_file() else None


def _of_saved(saved: Path, data: HubData, part: str) -> Part:
    try:
        dataset = load_from_disk(str(saved))
    except Exception as error:  # the datasets library and pyarrow raise their own
        raise _damaged(saved, part) from error
    if isinstance(dataset, DatasetDict):
        if part not in dataset:
            raise CalibrationError(
                f"{saved} has no part {part!r} of {data.dataset} (it has {', '.join(dataset)}); save that part as well."
            )
        dataset = dataset[part]
    return Part(part, dataset.to_iterable_dataset(), len(dataset))


def _files(place: Path, data: HubData, part: str) -> list[Path]:
    """Files of one part, of one format: ``part.csv``, ``part-00000-of-00001.parquet`` or those in a folder ``part``."""
    if not place.is_dir():
        return []
    stems = (part, f"{data.dataset.rpartition('/')[2]}-{part}")
    named = [file for file in place.iterdir() if _SHARD.sub("", file.stem) in stems]
    inside = list((place / part).iterdir()) if (place / part).is_dir() else []
    for suffix in _BUILDERS:
        if found := sorted(file for file in [*named, *inside] if file.suffix == suffix and file.is_file()):
            return found
    return []


def _check_shards(files: Sequence[Path], place: Path, part: str) -> None:
    counts = {int(found.group(1)) for file in files if (found := _SHARD.search(file.stem))}
    if counts and counts != {len(files)}:
        raise CalibrationError(
            f"Part {part!r} in {place} has {len(files)} of {max(counts)} files, so it is partly downloaded; copy it once more."
        )


def _of_files(files: Sequence[Path], place: Path, part: str) -> Part:
    kind, options = _BUILDERS[files[0].suffix]
    try:
        if kind == "parquet":  # read whole, since a shuffled stream of it waits five seconds at its end (datasets 5)
            dataset = Dataset(InMemoryTable(concat_tables(read_table(file) for file in files)))
            return Part(part, dataset.to_iterable_dataset(), len(dataset))
        arguments: dict[str, Any] = {"data_files": {part: [str(file) for file in files]}, **options}
        return Part(part, load_dataset(kind, split=part, streaming=True, **arguments))
    except Exception as error:  # as above
        raise _damaged(place, part) from error


def _damaged(place: Path, part: str) -> CalibrationError:
    return CalibrationError(
        f"The files of part {part!r} in {place} cannot be read; copy them once more, they may be partly downloaded."
    )
