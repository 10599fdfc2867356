"""Many runs from one calibration: the metric over ratio, criteria and reconstructions.

Moments know nothing of criterion, ratio and reconstruction, so whatever the schedule allows to be shared is computed once.
Closing a generator between two steps stops it; what it handed out before stays good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing
from itertools import product
from math import prod
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liar.allocation import check_choices
from liar.calibration import Calibration
from liar.environment import readable_failures
from liar.errors import InvalidSpecError
from liar.evaluate import check_evaluations
from liar.evaluate.changes import Comparison
from liar.events import Finished, Progress
from liar.models.catalog import LoadedModel
from liar.models.offload import is_offloaded
from liar.pipeline import named_after, stream
from liar.plan import Amounts, Shape, sweep_parts
from liar.results import DENSE, Evaluation, RunResult
from liar.sharing import can_share, shared_calibration
from liar.spec import MAX_RATIO, Criterion, PruneSpec, Reconstruction
from liar.store import RunStore
from liar.timing import Pace

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
        specs = [named_after(spec, loaded) for spec in sweep.specs]
        sites = loaded.adapter.sites(sweep.base.targets)
        check_choices(sweep.base.model_copy(update={"ratio": max(sweep.ratios)}), sites)
        check_evaluations(loaded, sweep.base)
        missing: list[PruneSpec] = []
        for spec in specs:
            if store is not None and (known := store.find(spec)) is not None:
                yield known
            else:
                missing.append(spec)
        there = len(specs) - len(missing)
        shared = len(missing) > 1 and can_share(missing[0], loaded, sites)
        amounts = Amounts.of(sweep.base, loaded)
        pace = Pace(sweep_parts(missing, Shape.of(loaded), amounts, shared=shared))
        calibration: Calibration | None = None
        if shared:
            calibration = yield from shared_calibration(
                missing, loaded, pace, (there, len(specs)), norm_aware=sweep.base.surveys_norm_aware
            )
        dense: list[Evaluation] = []
        comparison = Comparison()
        for number, spec in enumerate(missing):
            part = str(number)
            given = None if is_offloaded(loaded.model) else loaded
            run = stream(spec, given, calibration=calibration, dense=dense, comparison=comparison)
            with closing(run) as events:
                for event in events:
                    if isinstance(event, Progress):
                        words, reached = f"{_name(spec, sweep)}: {event.message}", event.share or 0.0
                        yield pace.at(part, event.stage, there + number, len(specs), words, fraction=reached)
                    elif isinstance(event, Finished):
                        dense = [item for item in event.result.evaluations if item.variant in DENSE]
                        yield event.result
        if missing:
            yield pace.at(part, "prune", len(specs), len(specs), "All runs are there", fraction=1.0)


def _name(spec: PruneSpec, sweep: SweepSpec) -> str:
    """What tells a run of a sweep from the others."""
    compared: list[str] = [spec.criterion] if sweep.criteria else []
    compared += [spec.reconstruction] if sweep.reconstructions else []
    return ", ".join([f"Ratio {100 * spec.ratio:.0f} %", *compared])
