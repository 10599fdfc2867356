"""Datasets of the hub, and local copies of them in the hub's layout, opened by the datasets library.

A copy of ``nyu-mll/glue`` lies in ``FOLDER/nyu-mll/glue``, ``FOLDER/glue`` or ``FOLDER`` itself, its configuration
``cola`` in a folder of that name: files of one part begin with the part's name (``train-00000-of-00001.parquet``,
``validation.jsonl``) or lie in a folder of that name, or all is as ``save_to_disk`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, load_dataset, load_from_disk
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError

from liar.errors import CalibrationError
from liar.tasks.record import HubData

_BUILDERS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
}
_PROBE_SECONDS = 8.0


def open_copy(folder: str, data: HubData, part: str) -> IterableDataset:
    """One part of the copy of a dataset below ``folder``, as a stream.

    Raises :class:`CalibrationError` if the folder has no such dataset, configuration or part, or a damaged file.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise CalibrationError(
            f"There is no folder {folder}; name with --data the one that holds a copy of {data.dataset}, or leave it out to "
            "read from the hub."
        )
    for place in _places(root, data):
        if (place / "dataset_dict.json").is_file():
            return _of_parts(load_from_disk(str(place)), data, part, place)
        if (place / part / "dataset_info.json").is_file():
            return _stream(load_from_disk(str(place / part)))
        if files := _files(place, part):
            kind = _BUILDERS[files[0].suffix]
            options: dict[str, Any] = {"data_files": {part: [str(file) for file in files]}}
            try:
                return load_dataset(kind, split=part, streaming=True, **options)
            except Exception as error:  # each builder raises its own
                raise _damaged(place, part) from error
    name = data.dataset.rpartition("/")[2]
    inside = f"{name}/{data.config}" if data.config else name
    raise CalibrationError(
        f"The folder {folder} has no part {part!r} of {data.dataset}; put its files there as the hub has them, such as "
        f"{inside}/{part}-00000-of-00001.parquet, or as save_to_disk of datasets writes them."
    )


def open_part(data: HubData, part: str) -> IterableDataset:
    """One part of a dataset of the hub, as a stream; raises :class:`CalibrationError` if it is out of reach or gated."""
    try:
        # Probe with a short timeout first, because the datasets library retries for a long time.
        HfApi().dataset_info(data.dataset, timeout=_PROBE_SECONDS)
        parts: IterableDatasetDict = load_dataset(data.dataset, data.config, streaming=True)
        return parts[part]
    except GatedRepoError as error:
        raise CalibrationError(
            f"The dataset {data.dataset} is gated; accept its terms on the hub, log in with `hf auth login`, and try again."
        ) from error
    except Exception as error:  # the hub client, its HTTP library and every builder raise their own
        raise CalibrationError(
            f"The hub does not give part {part!r} of {data.dataset}; check the network, or name a folder with a copy of it "
            "with --data."
        ) from error


def _places(root: Path, data: HubData) -> list[Path]:
    name = data.dataset.rpartition("/")[2]
    bases = [root / data.dataset, root / data.dataset.replace("/", "___"), root / name, root]
    configs = [data.config] if data.config else ["plain_text", "default", ""]
    return [base / config for base in bases for config in configs] + [base / "data" for base in bases[:3]]


def _files(place: Path, part: str) -> list[Path]:
    """Files of one part, of one format: ``part.csv``, ``part-00000-of-00001.parquet`` or those in a folder ``part``."""
    if not place.is_dir():
        return []
    named = [file for file in place.iterdir() if file.stem == part or file.stem.startswith((f"{part}-0", f"{part}."))]
    inside = list((place / part).iterdir()) if (place / part).is_dir() else []
    for suffix in _BUILDERS:
        if found := sorted(file for file in [*named, *inside] if file.suffix == suffix and file.is_file()):
            return found
    return []


def _of_parts(dataset: Dataset | DatasetDict, data: HubData, part: str, place: Path) -> IterableDataset:
    if not isinstance(dataset, DatasetDict) or part not in dataset:
        has = ", ".join(dataset) if isinstance(dataset, DatasetDict) else "one part without a name"
        raise CalibrationError(
            f"{place} has no part {part!r} of {data.dataset} (it has {has}); save that part as well."
        )
    return _stream(dataset[part])


def _stream(dataset: Dataset | DatasetDict) -> IterableDataset:
    assert isinstance(dataset, Dataset)
    return dataset.to_iterable_dataset()


def _damaged(place: Path, part: str) -> CalibrationError:
    return CalibrationError(
        f"The files of part {part!r} in {place} cannot be read; copy them once more, they may be partly downloaded."
    )
