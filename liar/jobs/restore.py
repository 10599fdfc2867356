"""Restore the models of a finished run: take the masks from its result, and solve only the repairs again.

This takes one forward pass over the calibration text; there is no scoring, allocation, evaluation or backward pass.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from liar.events import Progress
from liar.jobs.read_text import read_text
from liar.jobs.stages import stages_of
from liar.models.loaded import LoadedModel, working_copy
from liar.models.variants import Variants
from liar.results import RunResult
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork


def restore_steps(result: RunResult, loaded: LoadedModel) -> Generator[Progress, None, Variants]:
    """Prune a copy of ``loaded``, the dense model of ``result``, to the units kept there; return its variants.

    On a CPU of the same kind the weights equal those of the run bit for bit. Closing the generator between two steps
    stops it. Raises :class:`InvalidSpecError` for a streamed model or if the stored masks do not fit this model, and
    the errors of a run's calibration.
    """
    with readable_failures():
        spec = result.spec
        working = working_copy(loaded, replace(PlannedWork.of(spec), gradients=False))
        sites = working.adapter.sites(spec.targets)
        for stage in stages_of(spec):
            stage.check_stored(result, sites)
        yield Progress("calibrate", 0, len(sites), f"Reading the calibration text for {spec.model}")
        batches, *_ = yield from read_text(spec, working)
        variants = Variants(working, loaded)
        for stage in stages_of(spec):
            yield from stage.restore(result, batches, working, variants)
        return variants
