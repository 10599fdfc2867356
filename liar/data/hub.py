"""Datasets of the hub, opened as streams by the datasets library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets import IterableDataset, IterableDatasetDict, load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError

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


@dataclass(frozen=True, slots=True)
class Part:
    """An opened part of a dataset; ``number`` is that of its rows, None if it is not known."""

    name: str | None
    dataset: IterableDataset
    number: int | None = None


def open_part(data: HubData, part: str) -> Part:
    """One part of the dataset of a task; raises :class:`CalibrationError` if it is out of reach or gated."""
    try:
        return _part_of(_parts(data.dataset, data.config), part)
    except Exception as error:  # the hub client, its HTTP library and every builder raise their own
        raise _gated(data.dataset, error) or CalibrationError(
            f"The hub does not give part {part!r} of {data.dataset}; check the network, or name a folder with a copy of it "
            "with --data."
        ) from error


def open_named(source: str, split: Split) -> Part:
    """The part that ``source`` (``id``, ``id:config`` or ``id:config:part``) names, else the one for ``split``.

    "train" is the training part of a dataset, else its validation part. "validation" and "test" are the part of that
    name ("test", if it is missing, the validation part), but never the part of "train". Raises :class:`CalibrationError`
    if there is no such part, or if the dataset is out of reach or gated.
    """
    name, config, part = [*source.split(":"), "", ""][:3]
    try:
        parts = _parts(name, config or None)
        chosen = part or _part_for(split, list(parts))
        if chosen is not None:
            return _part_of(parts, chosen)
    except Exception as error:  # as above
        raise _gated(name, error) or CalibrationError(
            f"The text {source!r} is neither a file nor a dataset that the hub gives; check the spelling "
            "(id:config:split) and the network."
        ) from error
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


def _gated(dataset: str, error: BaseException) -> CalibrationError | None:
    """An error with the way in if ``error`` is that of a gated dataset."""
    # The datasets library drops the cause of its error, and leaves it only in the message.
    if isinstance(error, GatedRepoError) or (isinstance(error, DatasetNotFoundError) and "gated" in str(error)):
        return CalibrationError(
            f"The dataset {dataset} is gated; accept its terms on the hub, log in with `hf auth login`, and try again."
        )
    return None


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
