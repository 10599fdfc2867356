"""Mask table: the masks of each criterion under each reconstruction, which the paper leaves as an open question.

Moments do not depend on criterion and reconstruction, so one calibration serves all cells. Closing the generator
between two steps stops it; results already yielded stay valid.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from statistics import fmean

import torch

from liar.calibration.calibrate import Calibration, calibration_steps, fits
from liar.choices import Criterion, Reconstruction
from liar.edits import merge
from liar.errors import InsufficientMemoryError
from liar.evaluate.prepared_task import prepare_all
from liar.events import Evaluated, Progress
from liar.explore.allocation import Candidate, best_bundles, check_choices, check_units, kept_counts
from liar.jobs.estimates import Estimate
from liar.jobs.plan import table_parts
from liar.jobs.stages.decide import decide
from liar.models.loaded import LoadedModel, working_copy
from liar.models.surgery import ConsumerParameters, install, shrink
from liar.progress import Pace
from liar.results import MaskCell
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork
from liar.sites import Site
from liar.spec import Needs, PruneSpec


def mask_table_steps(
    spec: PruneSpec, criteria: Sequence[Criterion], reconstructions: Sequence[Reconstruction], loaded: LoadedModel
) -> Generator[Progress | Evaluated | MaskCell, None, None]:
    """Evaluate the masks of each of ``criteria`` under each of ``reconstructions``.

    One-shot for any ``spec``, because all masks come from one calibration. The allocation of ``spec`` spreads the
    ratio; a curve allocation uses the curves of ``spec.reconstruction`` for all cells of a row. Yields the evaluation of the
    dense model (if ``spec`` or ``loaded`` has a task), then the cells row by row. ``loaded`` is never changed.

    Raises :class:`InsufficientMemoryError` if the moments of all sites do not fit, and the errors of a run.
    """
    with readable_failures():
        spec = spec.model_copy(update={"schedule": "one-shot"})
        rows = {criterion: spec.model_copy(update={"criterion": criterion}) for criterion in criteria}
        specs = list(rows.values())
        columns = tuple(dict.fromkeys(reconstructions))
        sites = loaded.adapter.sites(spec.targets)
        check_units(spec)
        check_choices(spec, sites)
        task = next(iter(spec.evaluate), loaded.task)
        measured_by = spec.model_copy(
            update={"evaluate": (task,) if task else (), "data": spec.data_of(task) if task else None}
        )
        exam = next(iter(prepare_all(loaded, measured_by).values()), None)
        norm_aware = spec.allocation == "error-curve"
        if not fits(loaded, sites, norm_aware=norm_aware):
            raise InsufficientMemoryError(
                "The moments of all sites do not fit into memory at once; choose a smaller model, or compare single runs."
            )
        done, total = 0, len(specs) * len(columns)
        pace = Pace(table_parts(specs, columns, Estimate.of(measured_by, loaded)))
        reading = calibration_steps(spec, loaded, replace(Needs.of(*specs), norm_aware=norm_aware))
        words = "One calibration for all runs"
        calibration = yield from pace.along("calibrate", reading, "calibrate", words, pieces=(done, total))
        if exam is not None:
            steps = exam.steps(loaded, "dense")
            words = f"Measuring {task} of the dense model"
            evaluation = yield from pace.along(f"dense {task}", steps, "evaluate", words, pieces=(done, total))
            yield Evaluated(evaluation)
        for criterion, row in rows.items():
            working = working_copy(loaded, replace(PlannedWork.of(spec), gradients=False))
            repairs, errors = yield from repair_steps(row, columns, working, calibration, pace, (done, total))
            for name in columns:
                for site, parameters in repairs[name].items():
                    install(working.adapter.consumer(site), parameters)
                cell = MaskCell(criterion=criterion, reconstruction=name, error=fmean(errors[name]))
                if exam is not None:
                    steps = exam.steps(working, "reconstructed")
                    words = f"Measuring {task} of {criterion} masks with {name}"
                    part = f"{criterion} {name} {task}"
                    measured = yield from pace.along(part, steps, "evaluate", words, pieces=(done, total))
                    figures = measured.model_dump(include={"metric", "value", "stderr", "n"})
                    cell = cell.model_copy(update={"task": task, **figures})
                done += 1
                yield cell


Repairs = dict[Reconstruction, dict[Site, ConsumerParameters]]


def repair_steps(
    spec: PruneSpec,
    reconstructions: Sequence[Reconstruction],
    working: LoadedModel,
    calibration: Calibration,
    pace: Pace,
    pieces: tuple[int, int],
) -> Generator[Progress, None, tuple[Repairs, dict[Reconstruction, list[float]]]]:
    """Prune ``working`` by one mask; return each reconstruction's consumer parameters by site, and its errors there.

    A generator of progress, as the part "<criterion> masks" of a job of ``pace`` that counts ``pieces`` (done, total).
    """
    adapter = working.adapter
    sites = adapter.sites(spec.targets)
    edits = merge(spec.edits)
    candidates: list[Candidate] = []
    part = f"{spec.criterion} masks"
    for number, site in enumerate(sites):
        reached = number / (2 * len(sites))
        yield pace.at(part, "calibrate", *pieces, f"Scoring {site.name} by {spec.criterion}", fraction=reached)
        candidates.append(calibration.candidate(spec, site, adapter))
    kept = kept_counts(spec, candidates, edits)
    repairs: Repairs = {name: {} for name in reconstructions}
    errors: dict[Reconstruction, list[float]] = {name: [] for name in reconstructions}
    for number, site in enumerate(sites, start=len(sites)):
        reached = number / (2 * len(sites))
        yield pace.at(part, "prune", *pieces, f"Pruning {site.name} by {spec.criterion}", fraction=reached)
        consumer, moments = adapter.consumer(site), calibration.moments[site].plain
        weight = consumer.weight.T
        scores = calibration.scores(spec.criterion, site, weight, spec.seed).numpy()
        bundles = best_bundles(site, scores, kept[site.name], edits.get(site.name))
        decision = decide(site, torch.from_numpy(bundles), moments, weight, reconstructions, intercept=spec.intercept)
        for name, error in decision.errors(moments, decision.solutions).items():
            repairs[name][site] = ConsumerParameters.install_of(consumer, decision.solutions[name])
            errors[name].append(error)
        shrink(adapter, site, decision.bundles, repairs[reconstructions[0]][site])
    adapter.after_surgery()
    return repairs, errors
