"""Figures of the lessons, read from the runs and atlases that come with the package: no text holds a number of its own.

>>> from liar.course.figures import Shelf, measured
>>> half = measured(Shelf().ran("demo/minilm-sentiment"), "pruned")
>>> 0.5 < half.value < 1, half.words[-1]
(True, '%')
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from liar.errors import StorageError
from liar.explore.atlas import Atlas
from liar.explore.atlas_store import AtlasStore
from liar.explore.forecast import Forecast, forecast
from liar.results import Evaluation, MeasuredVariant, RunResult
from liar.spec import PruneSpec
from liar.store import RunStore

Unit = Literal["", "%", "x", "points", "nats"]
"""How a number is shown; "%" and "points" are of shares, times 100."""


@dataclass(frozen=True, slots=True)
class Known:
    """A figure with its value: a number, or nested lists of numbers; ``stderr`` of what was measured on a sample of items.

    ``is_exact``: it is of the curves, so of all of the calibration text, and of no sample.
    """

    value: Any
    unit: Unit = ""
    digits: int = 0
    stderr: float | None = None
    is_exact: bool = True

    @property
    def shown(self) -> float:
        """The number in its unit."""
        return self._in_unit(float(self.value))

    @property
    def words(self) -> str:
        """``85.5 %``, ``0.28``, ``1.9 x``, ``1,504``."""
        return self.words_of(float(self.value))

    def words_of(self, value: float) -> str:
        """Another number as this one is shown: with its unit, a share as a percentage."""
        return f"{self._in_unit(value):,.{self.digits}f} {self.unit}".rstrip()

    def _in_unit(self, value: float) -> float:
        return 100 * value if self.unit in ("%", "points") else value


Figures = dict[str, Known]
"""Figures of a lesson by the names that its texts use."""


def evaluation_of(run: RunResult, variant: MeasuredVariant, task: str | None = None) -> Evaluation:
    """What a run measured of a variant on a ``task``, the first one if None; raises :class:`StopIteration` if nothing."""
    return next(item for item in run.evaluations if item.variant == variant and task in (None, item.task))


def measured(run: RunResult, variant: MeasuredVariant, unit: Unit = "%", digits: int = 1) -> Known:
    """The main metric of a variant, with its standard error."""
    found = evaluation_of(run, variant)
    return Known(found.value, unit, digits, found.stderr, is_exact=False)


_NOWHERE = Path("no folder of one's own")


class Shelf:
    """The runs and atlases that come with the package, each read once; those of a user are never looked at."""

    def __init__(self) -> None:
        self._runs, self._atlases = RunStore(_NOWHERE), AtlasStore(_NOWHERE, in_memory=8)
        self._opened = cache(self._runs.shipped_of)

    def spec(self, model: str, **choices: Any) -> PruneSpec:
        """The recipe of the run that the page opens with, with other ``choices``; raises :class:`StorageError` without one."""
        if (found := self._opened(model)) is None:
            raise StorageError(f"No run of {model} comes with this package; install it anew.")
        return PruneSpec.create(**{**found.spec.model_dump(), **choices})

    def ran(self, model: str, **choices: Any) -> RunResult:
        """The shipped run of this recipe; raises :class:`StorageError` if there is none."""
        spec = self.spec(model, **choices)
        if (found := self._runs.find(spec)) is None:
            raise StorageError(f"The run {spec.to_query()} does not come with this package; install it anew.")
        return found

    def atlas(self, model: str, **choices: Any) -> Atlas:
        """The shipped curves for this recipe; raises :class:`StorageError` if there are none."""
        if (found := self._atlases.find(self.spec(model, **choices))) is None:
            raise StorageError(f"The curves of {model} do not come with this package; install it anew.")
        return found

    def expected(self, model: str, **choices: Any) -> Forecast:
        """What the curves predict for this recipe."""
        return forecast(self.spec(model, **choices), self.atlas(model, **choices))
