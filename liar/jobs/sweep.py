"""Sweep: many runs over ratios, criteria and reconstructions, with one calibration if the schedule allows it.

Moments do not depend on criterion, ratio and reconstruction, so runs can share them. Closing the generator between two
steps stops it; results already yielded stay valid.

>>> from liar import PruneSpec, RunResult, load_model
>>> from liar.jobs.sweep import sweep_steps
>>> from liar.spec import SweepSpec
>>> base = PruneSpec(model="tiny", allocation="uniform", calibration="notes.txt", tokens=512, sequence_length=64)
>>> steps = sweep_steps(SweepSpec(base=base, ratios=(0.25, 0.5)), load_model("tiny"))
>>> [step.sites[0].kept for step in steps if isinstance(step, RunResult)]
[36, 24]
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from liar.calibration.calibrate import Calibration, calibration_steps, fits
from liar.evaluate.outcome import Outcomes
from liar.evaluate.prepared_task import prepare_all
from liar.events import Finished, Progress
from liar.jobs.estimates import Estimate
from liar.jobs.pipeline import stream
from liar.jobs.plan import sweep_parts
from liar.jobs.stages import stages_of
from liar.maths.criteria import criterion_of
from liar.models.loaded import LoadedModel
from liar.progress import Pace
from liar.results import DENSE, Evaluation, RunResult
from liar.runtime.environment import readable_failures
from liar.runtime.offload import is_offloaded
from liar.spec import Needs, PruneSpec, SweepSpec
from liar.store import RunStore


def sweep_steps(
    sweep: SweepSpec, loaded: LoadedModel, *, prompts: Sequence[str] = (), store: RunStore | None = None
) -> Generator[Progress | RunResult, None, None]:
    """Do the runs of ``sweep`` on ``loaded``, which is never changed; yield each result as soon as it is complete.

    Progress counts the runs of the whole sweep. Runs in ``store``, and what it knows of the dense model, are taken from it;
    every other result equals that of :func:`liar.jobs.pipeline.run` for its spec and ``prompts``, so the caller may store it
    under the key of that spec.

    Raises :class:`liar.errors.LiarError` for every expected failure, before the first run if the sweep is invalid.
    """
    with readable_failures():
        specs = [spec.model_copy(update={"model": loaded.id}) for spec in sweep.specs]
        sites = loaded.adapter.sites(sweep.base.targets)
        for spec in specs:
            for stage in stages_of(spec):
                stage.check(spec, loaded.adapter)
            criterion_of(spec.criterion)
        known = [result for spec in specs if store is not None and (result := store.find(spec)) is not None]
        found = {result.spec for result in known}
        missing = [spec for spec in specs if spec not in found]
        if missing:
            prepare_all(loaded, sweep.base)
        yield from known
        stored = len(specs) - len(missing)
        base, given = sweep.base, None if is_offloaded(loaded.model) else loaded
        shared = len(missing) > 1 and base.reads_dense and given is not None
        shared = shared and fits(loaded, sites, norm_aware=base.needs.norm_aware)
        pace = Pace(sweep_parts(missing, Estimate.of(base, loaded), shared=shared))
        calibration: Calibration | None = None
        if shared:
            steps = calibration_steps(missing[0], loaded, Needs.of(*missing))
            words = "One calibration for all runs"
            calibration = yield from pace.along("calibrate", steps, "calibrate", words, pieces=(stored, len(specs)))
        dense: list[Evaluation] = []
        comparison: Outcomes = {}
        for number, spec in enumerate(missing):
            part = str(number)
            run = stream(
                spec,
                given,
                prompts=prompts,
                calibration=calibration,
                dense=dense,
                comparison=comparison,
                store=None if store is None else store.dense,
            )
            with closing(run) as events:
                for event in events:
                    if isinstance(event, Progress):
                        words, reached = f"{_name(spec, sweep)}: {event.message}", event.share or 0.0
                        yield pace.at(part, event.stage, stored + number, len(specs), words, fraction=reached)
                    elif isinstance(event, Finished):
                        dense = [item for item in event.result.evaluations if item.variant in DENSE]
                        yield event.result
        if missing:
            yield pace.at(part, "prune", len(specs), len(specs), "All runs are done", fraction=1.0)


def _name(spec: PruneSpec, sweep: SweepSpec) -> str:
    """Title of a run: the choices in which it differs from other runs of the sweep."""
    compared: list[str] = [spec.criterion] if sweep.criteria else []
    compared += [spec.reconstruction] if sweep.reconstructions else []
    return ", ".join([f"Ratio {100 * spec.ratio:.0f} %", *compared])
