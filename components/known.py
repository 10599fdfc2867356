"""What is known of a recipe: its run, else its forecast, else why there is neither, and the measured sites of a run at work.
Every panel that asks gets this answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liar.errors import LiarError
from liar.explore.atlas import Atlas
from liar.explore.forecast import Forecast, forecast
from liar.results import RunResult, SiteReport
from liar.spec import PruneSpec
from server.job import Job

if TYPE_CHECKING:
    from components.studio import Studio

NO_ATLAS = (
    "Nothing is known of this model and text yet: “Calibrate” reads it once, and every choice then answers at once; "
    "“Apply” does the whole run."
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """The measured sites of a run of ``spec`` whose metrics are still to come."""

    spec: PruneSpec
    sites: list[SiteReport]


@dataclass(frozen=True, slots=True)
class Known:
    """``run`` is the finished run of ``spec``, ``expected`` its forecast if there is no run; ``missing`` is one sentence
    about why there is neither. ``pruned`` are the measured sites of a run at work. ``atlas`` is that of the recipe's
    calibration, if one was drawn.
    """

    spec: PruneSpec
    atlas: Atlas | None
    run: RunResult | None = None
    pruned: Pruned | None = None
    expected: Forecast | None = None
    missing: str = ""

    @property
    def sites(self) -> Sequence[SiteReport]:
        """Measured or forecast; empty if neither is at hand."""
        outcome = self.run or self.pruned or self.expected
        return outcome.sites if outcome else []


def what_is_known(studio: Studio, spec: PruneSpec) -> Known:
    """A few milliseconds: nothing is loaded but small files, which stay in memory.

    A recipe that names no task is answered by the run of its model's own task, and ``spec`` of the answer is that run's.
    """
    atlas, run = studio.atlases.find(spec), studio.store.find(spec)
    job = studio.jobs.find(spec.key) if run is None else None
    if job is not None:
        run = _made_by(studio, job)
    if run is not None:
        return Known(run.spec, atlas, run=run)
    pruned = _pruned_by(studio, job) if job is not None else None
    if atlas is None:
        return Known(spec, None, pruned=pruned, missing=NO_ATLAS)
    try:
        return Known(spec, atlas, pruned=pruned, expected=forecast(spec, atlas))
    except LiarError as error:
        return Known(spec, atlas, pruned=pruned, missing=str(error))


def run_of(studio: Studio, key: str) -> RunResult | None:
    """The stored run with this key, else the one that has just ended and could not be stored."""
    result, job = studio.store.load(key), studio.jobs.find(key)
    return result if result is not None or job is None else _made_by(studio, job)


def _made_by(studio: Studio, job: Job) -> RunResult | None:
    result: RunResult | None = studio.jobs.snapshot(job).result
    return result


def _pruned_by(studio: Studio, job: Job) -> Pruned | None:
    """What a job at work has handed out; that of a stopped one counts for nothing."""
    snapshot = studio.jobs.snapshot(job)
    handed_out = [item for item in snapshot.partial if isinstance(item, Pruned)]
    return handed_out[-1] if handed_out and not snapshot.ended else None
