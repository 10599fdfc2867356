"""Datasets of the hub, opened as streams by the datasets library, or read from local copies.

A copy of the configuration ``cola`` of ``nyu-mll/glue`` is in ``FOLDER/nyu-mll/glue/cola``: parquet files as the hub has them
(``train-00000-of-00001.parquet``), or what ``save_to_disk`` of the datasets library wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetNotFoundError
from datasets.table import InMemoryTable
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError
from pyarrow import concat_tables
from pyarrow.parquet import read_table

from liar.errors import CalibrationError
from liar.tasks.record import HubData
from liar.tasks.splits import Split

_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Names of the parts of a dataset, or how they begin (``validation_matched``)."""
_PROBE_SECONDS = 8.0

_CONFIG = "plain_text"
"""Folder of a dataset that has one configuration."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Part:
    """An opened part of a dataset; ``number`` is that of its rows, None if it is not known."""

    name: str | None
    dataset: IterableDataset
    number: int | None = None


def open_part(data: HubData, part: str) -> Part:
    """One part of the dataset of a task; raises :class:`CalibrationError` if it is out of reach or gated."""
    with _explained(
        data.dataset,
        f"The hub does not give part {part!r} of {data.dataset}; check the network, or name a folder with a copy of it "
        "with --data.",
    ):
        return _part_of(_parts(data.dataset, data.config), part)


def open_named(source: str, split: Split) -> Part:
    """The part that ``source`` (``id``, ``id:config`` or ``id:config:part``) names, else the one for ``split``.

    "train" is the training part of a dataset, else its validation part. "validation" and "test" are the part of that
    name ("test", if it is missing, the validation part), but never the part of "train". Raises :class:`CalibrationError`
    if there is no such part, or if the dataset is out of reach or gated.
    """
    name, config, part = [*source.split(":"), "", ""][:3]
    with _explained(
        name,
        f"The text {source!r} is neither a file nor a dataset that the hub gives; check the spelling (id:config:split) and "
        "the network.",
    ):
        parts = _parts(name, config or None)
        if chosen := part or _part_for(split, list(parts)):
            return _part_of(parts, chosen)
    purpose = "calibrate" if split == "train" else "measure"
    raise CalibrationError(
        f"{source!r} has no part to {purpose} on that is not kept for something else (it has {', '.join(parts)}); name the "
        f"part yourself, as in {name}:{config or 'CONFIG'}:{next(iter(parts), 'SPLIT')}, where nothing else reads it."
    )


def _parts(dataset: str, config: str | None) -> IterableDatasetDict:
    # Probe with a short timeout first, because the datasets library retries for a long time.
    HfApi().dataset_info(dataset, timeout=_PROBE_SECONDS)
    parts: IterableDatasetDict = load_dataset(dataset, config, streaming=True)
    return parts


def _part_of(parts: IterableDatasetDict, name: str) -> Part:
    dataset = parts[name]
    described = (dataset.info.splits or {}).get(name)
    return Part(name, dataset, described.num_examples or None if described is not None else None)


@contextmanager
def _explained(dataset: str, sentence: str) -> Iterator[None]:
    """Turn any error into a :class:`CalibrationError` with this ``sentence``, or with the way in to a gated ``dataset``."""
    try:
        yield
    except CalibrationError:
        raise
    except Exception as error:  # the hub client, its HTTP library, pyarrow and every builder raise their own
        # The datasets library drops the cause of its error, and leaves it only in the message.
        if isinstance(error, GatedRepoError) or (isinstance(error, DatasetNotFoundError) and "gated" in str(error)):
            way_in = "accept its terms on the hub, log in with `hf auth login`, and try again"
            sentence = f"The dataset {dataset} is gated; {way_in}."
        raise CalibrationError(sentence) from error


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


# -- local copies -------------------------------------------------------------------------------------------------------


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
    damaged = (
        f"The files of part {part!r} in {place} cannot be read; copy them once more, they may be partly downloaded"
    )
    with _explained(data.dataset, f"{damaged}."):
        if (place / "dataset_dict.json").is_file():  # written by save_to_disk
            dataset = cast(DatasetDict, load_from_disk(str(place))).get(part)
        else:
            dataset = _downloaded(place, part)
    if dataset is None:
        raise CalibrationError(
            f"The folder {folder} has no part {part!r} of {data.dataset}; put its files there as the hub has them, such as "
            f"{inside}/{part}-00000-of-00001.parquet, or write them to {inside} with save_to_disk of datasets."
        )
    return Part(part, dataset.to_iterable_dataset(), len(dataset))


def _downloaded(place: Path, part: str) -> Dataset | None:
    """A part in parquet files, read whole: a shuffled stream of it waits five seconds at its end (datasets 5)."""
    files = sorted(file for file in place.glob(f"{part}-*.parquet") if _SHARD.search(file.stem))
    if not files:
        return None
    counts = {int(file.stem[-5:]) for file in files}
    if counts != {len(files)}:
        raise CalibrationError(
            f"Part {part!r} in {place} has {len(files)} of {max(counts)} files, so it is partly downloaded; copy it once more."
        )
    return Dataset(InMemoryTable(concat_tables(read_table(file) for file in files)))
