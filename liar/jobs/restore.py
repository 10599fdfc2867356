"""The models of a stored run, made again from the dense model by the masks that the run kept."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from liar.calibration.calibrate import read_text
from liar.events import Progress
from liar.jobs.smaller_vocabulary import in_its_vocabulary
from liar.jobs.stages import stages_of
from liar.models.loaded import LoadedModel, working_copy
from liar.models.variants import Variants
from liar.results import RunResult
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork


def restore_steps(result: RunResult, loaded: LoadedModel) -> Generator[Progress, None, Variants]:
    """Prune a copy of ``loaded``, the dense model of ``result``, to the units kept there; return its variants.

    Masks are taken from the result, and only the repairs are solved again: one forward pass over the calibration text, without
    scoring, allocation, evaluation or backward pass. On a CPU of the same kind the weights equal those of the run bit for bit.
    Closing the generator between two steps stops it. Raises :class:`InvalidSpecError` for a streamed model or if the stored
    masks do not fit this model, and the errors of a run's calibration.
    """
    with readable_failures():
        spec = result.spec
        work = replace(PlannedWork.of(spec), gradients=False)
        working, _ = yield from in_its_vocabulary(spec, working_copy(loaded, work))
        sites = working.adapter.sites(spec.targets)
        for stage in stages_of(spec):
            stage.check_stored(result, sites)
        yield Progress("calibrate", 0, len(sites), f"Reading the calibration text for {spec.model}")
        batches, *_ = yield from read_text(spec, working)
        variants = Variants(working, loaded)
        for stage in stages_of(spec):
            yield from stage.restore(result, batches, working, variants)
        working.adapter.origins = None
        return variants
