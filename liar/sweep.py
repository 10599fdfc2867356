"""Many runs from one calibration: the metric over ratio, and masks of one criterion under the repairs of another.

Moments know nothing of criterion, ratio and reconstruction, so whatever the schedule allows to be shared is computed once.
Closing a generator between two steps stops it; what it handed out before stays good.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import product
from math import prod
from statistics import fmean
from typing import Annotated, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liar.allocation import Candidate, allocate
from liar.calibration import Calibration, calibration_steps
from liar.edits import merge
from liar.environment import readable_failures
from liar.errors import InsufficientMemoryError, InvalidSpecError
from liar.evaluate import evaluate_steps
from liar.evaluate.changes import Comparison
from liar.events import Evaluated, Finished, Progress, Stage
from liar.models.adapter import execution_device
from liar.models.catalog import LoadedModel
from liar.models.offload import is_offloaded
from liar.models.placement import free_bytes
from liar.pipeline import chosen_bundles, stream, working_copy
from liar.reconstruct import reconstruct_all, relative_errors
from liar.results import Evaluation, RunResult
from liar.sites import Site
from liar.spec import GRADIENT_CRITERIA, MAX_RATIO, Criterion, PruneSpec, Reconstruction, Task
from liar.store import RunStore
from liar.surgery import ConsumerParameters, install, kept_channels, shrink
from liar.timing import paced

MAX_RATIOS = 20
MAX_RUNS = 40

Ratio = Annotated[float, Field(ge=0.0, le=MAX_RATIO, allow_inf_nan=False)]


class SweepSpec(BaseModel):
    """``base`` at every ratio, and there with each of ``reconstructions`` and ``criteria`` where any are named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: PruneSpec
    ratios: tuple[Ratio, ...] = Field(min_length=1, max_length=MAX_RATIOS)
    reconstructions: tuple[Reconstruction, ...] = ()
    criteria: tuple[Criterion, ...] = ()

    @field_validator("ratios", "reconstructions", "criteria")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(values))

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        number = prod(len(values) or 1 for values in (self.ratios, self.reconstructions, self.criteria))
        if number > MAX_RUNS:
            raise ValueError(f"That makes {number} runs, and {MAX_RUNS} is the most at once; take fewer ratios.")
        return self

    @classmethod
    def create(cls, **choices: Any) -> Self:
        """Validate ``choices``; raises :class:`InvalidSpecError` with one readable sentence."""
        try:
            return cls(**choices)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "value_error":
                raise InvalidSpecError(str(first["ctx"]["error"])) from None
            raise InvalidSpecError(
                f"A sweep takes 1 to {MAX_RATIOS} ratios from 0 to {MAX_RATIO} and known names to compare; "
                f"{'.'.join(map(str, first['loc']))} is not that."
            ) from None

    @property
    def key(self) -> str:
        """sha256 of the runs' keys: the name of this sweep among jobs."""
        return hashlib.sha256("".join(spec.key for spec in self.specs).encode()).hexdigest()

    @property
    def specs(self) -> list[PruneSpec]:
        """The runs, every line of the figure from its left to its right end at once."""
        choices = product(
            self.ratios, self.criteria or (self.base.criterion,), self.reconstructions or (self.base.reconstruction,)
        )
        return [
            self.base.model_copy(update={"ratio": ratio, "criterion": criterion, "reconstruction": reconstruction})
            for ratio, criterion, reconstruction in choices
        ]


def ratios_between(first: float, last: float, number: int) -> tuple[float, ...]:
    """``number`` ratios at equal distances, in whole percent, so that single runs and links meet the same ones."""
    if number < 2:
        return (round(first, 2),)
    step = (last - first) / (number - 1)
    return tuple(dict.fromkeys(round(first + step * index, 2) for index in range(number)))


def sweep_steps(
    sweep: SweepSpec, loaded: LoadedModel, *, store: RunStore | None = None
) -> Generator[Progress | RunResult, None, None]:
    """Do the runs of ``sweep`` on ``loaded``, which is never changed; hands out each as soon as it is there.

    Progress counts the runs of the whole sweep. A run that is in ``store`` is taken from there; every other one is what
    :func:`liar.pipeline.run` gives for its spec, so its caller may keep it under that spec's key.

    Raises :class:`liar.errors.LiarError` for everything that can be expected to go wrong: before the first run where the
    sweep as a whole is to blame.
    """
    with readable_failures():
        specs = sweep.specs
        sites = loaded.adapter.sites(sweep.base.targets)
        allocate("uniform", [Candidate(site, 1) for site in sites], max(sweep.ratios))
        pace = _Pace(len(specs))
        missing: list[PruneSpec] = []
        for spec in specs:
            if store is not None and (known := store.find(spec)) is not None:
                pace.skip()
                yield known
            else:
                missing.append(spec)
        calibration: Calibration | None = None
        if len(missing) > 1 and _can_share(missing[0], loaded, sites):
            calibration = yield from _calibrated(missing, loaded, pace)
        pace.start()
        dense: list[Evaluation] = []
        comparison = Comparison()
        for spec in missing:
            given = None if is_offloaded(loaded.model) else loaded
            run = stream(spec, given, calibration=calibration, dense=dense, comparison=comparison)
            with closing(run) as events:
                for event in events:
                    if isinstance(event, Progress):
                        yield pace.at(event.stage, f"{_name(spec, sweep)}: {event.message}")
                    elif isinstance(event, Finished):
                        pace.step()
                        dense = [item for item in event.result.evaluations if item.variant == "dense"]
                        yield event.result
        yield pace.at("prune", "All runs are there")


class MaskCell(BaseModel):
    """Masks of ``criterion`` under ``reconstruction``: the mean ``error`` of the sites, and the metric if one was measured.

    ``stderr`` is the metric's standard error over ``n`` items.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Criterion
    reconstruction: Reconstruction
    error: float
    task: Task | None = None
    value: float | None = None
    stderr: float | None = None
    n: int | None = None


def mask_table_steps(
    spec: PruneSpec, criteria: Sequence[Criterion], reconstructions: Sequence[Reconstruction], loaded: LoadedModel
) -> Generator[Progress | Evaluated | MaskCell, None, None]:
    """Whether a criterion made for one repair serves another: masks of each of ``criteria`` under each reconstruction.

    One-shot, whatever the schedule of ``spec``, because all masks are of one calibration; its allocation spreads the ratio,
    and a curve allocation reads the curves of the spec's own reconstruction for all of a row. Hands out the evaluation of
    the dense model (if ``loaded`` has a task) and then one cell after the other, row by row; ``loaded`` is never changed.

    Raises :class:`InsufficientMemoryError` when the moments of all sites do not fit, and what a run raises.
    """
    with readable_failures():
        specs = [spec.model_copy(update={"criterion": criterion}) for criterion in dict.fromkeys(criteria)]
        columns = tuple(dict.fromkeys(reconstructions))
        sites = loaded.adapter.sites(spec.targets)
        allocate("uniform", [Candidate(site, 1) for site in sites], spec.ratio)
        if not _fits(spec, loaded, sites):
            raise InsufficientMemoryError(
                "The moments of all sites do not fit into memory at once; choose a smaller model, or compare single runs."
            )
        pace = _Pace(len(specs) * len(columns))
        calibration = yield from _calibrated(specs, loaded, pace)
        task = next(iter(spec.evaluate), loaded.task)
        if task is not None:
            steps = evaluate_steps(loaded, task, "dense", limit=spec.evaluate_limit)
            yield Evaluated((yield from paced(steps, "evaluate", f"Measuring {task} of the dense model")))
        pace.start()
        for row in specs:
            working = working_copy(loaded)
            repairs, errors = yield from _pruned(row, columns, working, calibration, pace)
            for name in columns:
                for site, parameters in repairs[name].items():
                    install(working.adapter, site, parameters)
                cell = MaskCell(criterion=row.criterion, reconstruction=name, error=fmean(errors[name]))
                if task is not None:
                    steps = evaluate_steps(working, task, "reconstructed", limit=spec.evaluate_limit)
                    words = f"Measuring {task} of {row.criterion} masks with {name}"
                    measured = yield from pace.along(steps, "evaluate", words)
                    cell = cell.model_copy(
                        update={"task": task, "value": measured.value, "stderr": measured.stderr, "n": measured.n}
                    )
                pace.step()
                yield cell
        yield pace.at("evaluate", "All cells are there")


Repairs = dict[Reconstruction, dict[Site, ConsumerParameters]]


def _pruned(
    spec: PruneSpec,
    reconstructions: tuple[Reconstruction, ...],
    working: LoadedModel,
    calibration: Calibration,
    pace: _Pace,
) -> Generator[Progress, None, tuple[Repairs, dict[Reconstruction, list[float]]]]:
    """Prune ``working`` once; what each reconstruction would install at every site, and the errors that it leaves."""
    adapter = working.adapter
    sites = adapter.sites(spec.targets)
    edits = merge(spec.edits)
    candidates: list[Candidate] = []
    for site in sites:
        yield pace.at("calibrate", f"Scoring {site.name} by {spec.criterion}")
        candidates.append(calibration.candidate(spec, site, adapter))
    kept = allocate(spec.allocation, candidates, spec.ratio)
    repairs: Repairs = {name: {} for name in reconstructions}
    errors: dict[Reconstruction, list[float]] = {name: [] for name in reconstructions}
    for site in sites:
        yield pace.at("prune", f"Pruning {site.name} by {spec.criterion}")
        with torch.no_grad():
            consumer = adapter.consumer(site)
            weight = consumer.weight.T
            scores = calibration.scores(spec.criterion, site, weight, spec.seed)
            bundles = chosen_bundles(site, scores, kept[site.name], edits.get(site.name))
            channels = kept_channels(site, bundles, weight.device)
            moments = calibration.moments[site].plain
            solutions = reconstruct_all(moments, weight, channels, reconstructions, site=site.name)
            for name, error in relative_errors(moments, weight, channels, solutions).items():
                repairs[name][site] = ConsumerParameters.install_of(consumer, solutions[name])
                errors[name].append(error)
            shrink(adapter, site, bundles, repairs[reconstructions[0]][site])
    adapter.after_surgery(sites)
    return repairs, errors


# -- what runs can share --------------------------------------------------------------------------------------------------


def _calibrated(specs: Sequence[PruneSpec], loaded: LoadedModel, pace: _Pace) -> Generator[Progress, None, Calibration]:
    """One calibration for all ``specs``, which differ in ratio, criterion and reconstruction at most."""
    base = specs[0]
    steps = calibration_steps(
        loaded,
        base.calibration,
        tokens=base.tokens,
        sequence_length=base.sequence_length,
        seed=base.seed,
        targets=base.targets,
        gradients=any(spec.criterion in GRADIENT_CRITERIA for spec in specs),
        sensitivity=base.allocation == "loss-curve",
    )
    calibration: Calibration = yield from pace.along(steps, "calibrate", "One calibration for all runs")
    return calibration


def _can_share(spec: PruneSpec, loaded: LoadedModel, sites: Sequence[Site]) -> bool:
    """Whether runs like ``spec`` look at the dense model at all, and what they see fits into memory."""
    looks = spec.schedule == "one-shot" or spec.allocation != "uniform"
    return looks and not is_offloaded(loaded.model) and _fits(spec, loaded, sites)


def _fits(spec: PruneSpec, loaded: LoadedModel, sites: Sequence[Site]) -> bool:
    """Whether the covariances of all sites take no more than half of the memory that is free."""
    number = 2 * sum(site.channels**2 for site in sites)
    size = max(loaded.model.dtype.itemsize, torch.float32.itemsize)
    return number * size <= free_bytes(execution_device(loaded.model)) // 2


class _Pace:
    """Progress of the whole: how many pieces are done, and how long the others take at the pace so far."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.skipped = 0, total, 0
        self.start()

    def start(self) -> None:
        """From here on time counts."""
        self.begun = self.stepped = time.perf_counter()

    def skip(self) -> None:
        """One piece needed no work."""
        self.done += 1
        self.skipped += 1

    def step(self) -> None:
        self.done += 1
        self.stepped = time.perf_counter()

    def at(self, stage: Stage, message: str) -> Progress:
        left: float | None = None
        if self.done > self.skipped:
            each = (self.stepped - self.begun) / (self.done - self.skipped)
            left = max(each * (self.total - self.done) - (time.perf_counter() - self.stepped), 0.0)
        return Progress(stage, self.done, self.total, message, left)

    def along(
        self, steps: Generator[tuple[int, int], None, Any], stage: Stage, message: str
    ) -> Generator[Progress, None, Any]:
        """The progress of the whole while one of its pieces goes on; the value of ``steps`` is passed on."""
        while True:
            try:
                done, total = next(steps)
            except StopIteration as stop:
                return stop.value
            yield self.at(stage, f"{message}, {done} of {total}")


def _name(spec: PruneSpec, sweep: SweepSpec) -> str:
    """What tells a run of a sweep from the others."""
    compared: list[str] = [spec.criterion] if sweep.criteria else []
    compared += [spec.reconstruction] if sweep.reconstructions else []
    return ", ".join([f"Ratio {100 * spec.ratio:.0f} %", *compared])
