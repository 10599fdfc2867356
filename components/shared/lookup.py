"""Lookup of a recipe for all panels: its run, else the measured sites of its job, its forecast, or what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from components.shared.provenance import Origin
from components.shared.studio import Studio
from liar.errors import LiarError
from liar.explore.atlas import Atlas
from liar.explore.forecast import Forecast, forecast
from liar.report.interpolation import carried, neighbours, of_other_ratios
from liar.results import RunResult, SiteReport
from liar.spec import PruneSpec
from liar.store import RunSummary
from server.job import Job

NO_ATLAS = (
    "Nothing is known of this model and text yet: “Calibrate” reads it once, and every choice then answers at once; "
    "“Apply” does the whole run."
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Measured sites of a run of ``spec`` whose metrics are not measured yet."""

    spec: PruneSpec
    sites: list[SiteReport]


@dataclass(frozen=True, slots=True)
class Known:
    """Answer for ``spec``: ``run`` is its finished run, ``expected`` its forecast if there is no run, made to agree with the
    nearest measured ones, ``missing`` one sentence about why there is neither. ``pruned`` holds the measured sites of a
    running job. ``atlas`` is that of the recipe's calibration, None if none was drawn. ``measured`` are the stored runs of
    the recipe by their ratio.
    """

    spec: PruneSpec
    atlas: Atlas | None
    run: RunResult | None = None
    pruned: Pruned | None = None
    expected: Forecast | None = None
    missing: str = ""
    measured: Mapping[float, RunSummary] = field(default_factory=dict)

    @property
    def sites(self) -> Sequence[SiteReport]:
        """Measured sites, else forecast ones; empty if there are neither."""
        outcome = self.run or self.pruned or self.expected
        return outcome.sites if outcome else []

    @property
    def origin(self) -> Origin:
        """Where the figures of ``expected`` are from."""
        return "Interpolated" if self.expected is not None and self.expected.is_between else "Predicted"


def what_is_known(studio: Studio, spec: PruneSpec) -> Known:
    """Look up a recipe in some milliseconds: only small files are loaded.

    A recipe that names no task gets the run of its model's own task, and ``spec`` of the answer is that run's.
    """
    known = _found(studio, spec)
    known = replace(known, measured=of_other_ratios(known.spec, studio.store.summaries()))
    return known if known.expected is None else replace(known, expected=_carried(studio, known.expected, known))


def _carried(studio: Studio, expected: Forecast, known: Known) -> Forecast:
    """The forecast, made to agree with the nearest measured runs of its recipe."""
    marks: list[tuple[RunResult, Forecast]] = []
    for summary in neighbours(expected.spec.ratio, known.measured):
        run = studio.store.load(summary.spec.key)
        with suppress(LiarError):
            marks += [(run, forecast(run.spec, known.atlas))] if run and known.atlas else []
    return carried(expected, marks)


def _found(studio: Studio, spec: PruneSpec) -> Known:
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
    """The stored run with this key, else the result of a recent job that could not be stored, else None."""
    result, job = studio.store.load(key), studio.jobs.find(key)
    return result if result is not None or job is None else _made_by(studio, job)


def _made_by(studio: Studio, job: Job) -> RunResult | None:
    result: RunResult | None = studio.jobs.snapshot(job).result
    return result


def _pruned_by(studio: Studio, job: Job) -> Pruned | None:
    """Measured sites that a running job has handed out; None if there are none yet or the job has ended."""
    snapshot = studio.jobs.snapshot(job)
    return None if snapshot.ended else snapshot.latest(Pruned)
