"""Deliver the model of a run: write a checkpoint, load it again in a fresh process, pack it as a zip on request."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from liar.events import Progress
from liar.files import pack
from liar.jobs.plan import saving_parts
from liar.models.catalog import LoadedModel, bytes_in_memory
from liar.models.environment import readable_failures
from liar.models.quantize import quantized
from liar.progress import Pace
from liar.results import RunResult
from liar.save.checkpoint import SHARD_BYTES, Saved, save_model
from liar.save.reload import reload_difference


@dataclass(frozen=True, slots=True)
class Delivered:
    """A checkpoint, and the largest difference between its logits and those of the model in memory."""

    saved: Saved
    difference: float

    @property
    def sentence(self) -> str:
        """Sentence for the user: what was written, how it loads, and the difference after loading it again."""
        return (
            f"Saved {self.saved.folder}, {self.saved.bytes / 1e6:,.1f} MB of weights ({self.saved.precision}). "
            f"{self.saved.sentence} Loaded again in a fresh process: its logits differ by {self.difference:g} at most."
        )


def saving_steps(
    loaded: LoadedModel,
    folder: Path,
    result: RunResult,
    *,
    dtype: str = "auto",
    shard_bytes: int = SHARD_BYTES,
    archive: Path | None = None,
) -> Generator[Progress, None, Delivered]:
    """Save ``loaded`` to a new ``folder`` and check that it loads; ``archive`` is the path of an additional zip.

    The weights are quantized if the run of ``result`` quantized. Raises the errors of
    :func:`liar.save.checkpoint.save_model` and :func:`liar.save.reload.reload_difference`.
    """
    steps = 2 if archive is None else 3
    with readable_failures():
        pace = Pace(saving_parts(bytes_in_memory(loaded.model), packed=archive is not None))
        yield pace.at("write", "save", 0, steps, f"Writing {folder.name}", fraction=0.0)
        model = quantized(loaded) if result.spec.quantize == "int8" else loaded
        saved = save_model(model, folder, result, dtype=dtype, shard_bytes=shard_bytes)
        yield pace.at("reload", "save", 1, steps, "Loading it in a fresh process", fraction=0.0)
        difference = reload_difference(saved, model)
        if archive is not None:
            yield pace.at("pack", "save", 2, steps, f"Packing {archive.name}", fraction=0.0)
            pack(folder, archive)
        return Delivered(saved, difference)
