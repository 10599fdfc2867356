"""Reading of a recipe's calibration text as part of a job, with progress if the model writes it first."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress

from liar.data.corpora import text_steps
from liar.errors import CalibrationError
from liar.events import Progress
from liar.models.loaded import LoadedModel
from liar.progress import relay
from liar.results import CalibrationText
from liar.runtime.devices import Batch
from liar.spec import PruneSpec


def read_text(
    spec: PruneSpec, loaded: LoadedModel, beside: int = 0
) -> Generator[Progress, None, tuple[list[Batch], list[Batch], CalibrationText]]:
    """:func:`liar.data.corpora.text_steps` with progress of its own: the plan of the job is made of what it returns.

    There is no text ``beside`` that for the calibration if the source is too short for both.
    """
    start = time.perf_counter()

    def progress(step: tuple[int, int]) -> Progress:
        done, total = step
        left = (time.perf_counter() - start) * (total - done) / max(done, 1)
        return Progress(
            "calibrate", done, total, f"The model writes its calibration text, about {left:.0f} s more of it"
        )

    if beside:
        with suppress(CalibrationError):  # what else is wrong with the text is found by the next line
            return (yield from relay(text_steps(spec, loaded, beside), progress))
    return (yield from relay(text_steps(spec, loaded), progress))
