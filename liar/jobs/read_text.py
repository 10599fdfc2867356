"""Reading of a recipe's calibration text as part of a job, with progress if the model writes it first."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from typing import TypeVar

from liar.data.corpora import text_steps, unseen_tokens
from liar.errors import CalibrationError
from liar.events import Progress
from liar.models.loaded import LoadedModel
from liar.progress import relay
from liar.results import CalibrationText
from liar.runtime.devices import Batch
from liar.spec import PruneSpec

T = TypeVar("T")


def read_text(spec: PruneSpec, loaded: LoadedModel) -> Generator[Progress, None, tuple[list[Batch], CalibrationText]]:
    """:func:`liar.data.corpora.text_steps` with progress of its own: the plan of the job is made of what it returns."""
    batches, _, text = yield from _with_progress(text_steps(spec, loaded))
    return batches, text


def read_with_unseen(
    spec: PruneSpec, loaded: LoadedModel
) -> Generator[Progress, None, tuple[list[Batch], list[Batch], CalibrationText]]:
    """:func:`read_text`, and the text beside it that :func:`liar.data.corpora.unseen_tokens` asks for, if there is enough."""
    if unseen := unseen_tokens(spec, loaded):
        with suppress(CalibrationError):  # what else is wrong with the text is found by the next lines
            return (yield from _with_progress(text_steps(spec, loaded, unseen)))
    return (yield from _with_progress(text_steps(spec, loaded)))


def _with_progress(steps: Generator[tuple[int, int], None, T]) -> Generator[Progress, None, T]:
    """The result of ``steps``, with the time left in words."""
    start = time.perf_counter()

    def progress(step: tuple[int, int]) -> Progress:
        done, total = step
        left = (time.perf_counter() - start) * (total - done) / max(done, 1)
        return Progress(
            "calibrate", done, total, f"The model writes its calibration text, about {left:.0f} s more of it"
        )

    return (yield from relay(steps, progress))
