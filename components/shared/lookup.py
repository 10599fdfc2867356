"""Lookup of a recipe for all panels: its run, else the measured sites of its job, its forecast, or what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from components.shared.provenance import Origin
from components.shared.studio import Studio
from liar.errors import LiarError
from liar.explore.atlas import Atlas
from liar.explore.forecast import Forecast, forecast
from liar.explore.sizes import Sizes, parameters_left
from liar.report.interpolation import carried, neighbours, of_other_ratios
from liar.results import Evaluation, RunResult, SiteReport
from liar.spec import PruneSpec
from liar.store import RunSummary

NO_ATLAS = (
    "Nothing is known of this model and text yet: “Calibrate” reads it once, and every choice then answers at once; "
    "“Measure it” does the whole run."
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Measured sites of a run of ``spec`` that goes on, and the ``evaluations`` that it has so far."""

    spec: PruneSpec
    sites: list[SiteReport]
    evaluations: list[Evaluation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """Answer for ``spec``: ``run`` is its finished run, ``expected`` its forecast if there is no run, made to agree with the
    nearest measured ones, ``missing`` one sentence about why there is neither. ``pruned`` holds the measured sites of a
    running job. ``atlas`` is that of the recipe's calibration, None if none was drawn. ``measured`` are the stored runs of
    the recipe by their ratio. ``seconds``: what a run of this kind took, here or where it was shipped.
    """

    spec: PruneSpec
    atlas: Atlas | None
    run: RunResult | None = None
    pruned: Pruned | None = None
    expected: Forecast | None = None
    missing: str = ""
    measured: Mapping[float, RunSummary] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def sites(self) -> Sequence[SiteReport]:
        """Measured sites, else forecast ones; empty if there are neither."""
        outcome = self.run or self.pruned or self.expected
        return outcome.sites if outcome else []

    @property
    def bytes_left(self) -> float | None:
        """Bytes of the weights that are left, of a chain by its recipe; None if they are not known."""
        outcome, is_counted = self.run or self.expected, self.spec.vocabulary is None and not self.spec.reads_dense
        if self.atlas is None or not (outcome or is_counted):
            return None
        sizes = Sizes.of(self.atlas.facts)
        left = outcome.totals.parameters_after if outcome else parameters_left(self.spec, sizes, self.spec.ratio)
        return left * sizes.parameter_bytes

    @property
    def origin(self) -> Origin:
        """Where the figures of ``expected`` are from."""
        return "Interpolated" if self.expected is not None and self.expected.is_between else "Predicted"


def what_is_known(studio: Studio, spec: PruneSpec) -> Known:
    """Look up a recipe in some milliseconds: only small files are loaded.

    A recipe that names no task gets the run of its model's own task, and ``spec`` of the answer is that run's.
    """
    atlas, run, pruned = studio.atlases.find(spec), studio.store.find(spec), None
    if run is None and (job := studio.jobs.find(spec.key)) is not None:
        facts = job.facts  # read once, since the job may end meanwhile
        run, pruned = facts.result, None if facts.ended else facts.latest(Pruned)
    spec = spec if run is None else run.spec
    known = Known(spec, atlas, run, pruned, measured=of_other_ratios(spec, studio.store.summaries()))
    if run is not None:
        return known
    known = replace(known, seconds=studio.store.seconds(spec))
    if atlas is None:
        return replace(known, missing=NO_ATLAS)
    try:
        expected = forecast(spec, atlas)
    except LiarError as error:
        return replace(known, missing=str(error))
    near = (studio.store.load(summary.spec.key) for summary in neighbours(spec.ratio, known.measured))
    return replace(known, expected=carried(expected, [run for run in near if run is not None], atlas))


def run_of(studio: Studio, key: str) -> RunResult | None:
    """The stored run with this key, else the result of a recent job that could not be stored, else None."""
    run, job = studio.store.load(key), studio.jobs.find(key)
    return job.facts.result if run is None and job is not None else run
