"""What is known of a recipe: its run, else its forecast, else why there is neither. Every panel that asks gets this answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liar.atlas import Atlas
from liar.errors import LiarError
from liar.forecast import Forecast, forecast
from liar.results import RunResult, SiteReport
from liar.spec import PruneSpec

if TYPE_CHECKING:
    from components.studio import Studio

NO_ATLAS = (
    "Nothing is known of this model and text yet: “Calibrate” reads it once, and every choice then answers at once; "
    "“Apply” does the whole run."
)


@dataclass(frozen=True, slots=True)
class Known:
    """``run`` is the finished run of ``spec``, ``expected`` its forecast where there is no run; ``missing`` is one sentence
    about why there is neither. ``atlas`` is that of its calibration, if one was drawn.
    """

    spec: PruneSpec
    atlas: Atlas | None
    run: RunResult | None = None
    expected: Forecast | None = None
    missing: str = ""

    @property
    def sites(self) -> Sequence[SiteReport]:
        """Measured or forecast; empty where neither is at hand."""
        outcome = self.run or self.expected
        return outcome.sites if outcome else []


def what_is_known(studio: Studio, spec: PruneSpec) -> Known:
    """A few milliseconds: nothing is loaded but small files, which stay in memory."""
    atlas, run = studio.atlases.find(spec), run_of(studio, spec.key)
    if run is not None:
        return Known(spec, atlas, run=run)
    if atlas is None:
        return Known(spec, None, missing=NO_ATLAS)
    try:
        return Known(spec, atlas, expected=forecast(spec, atlas))
    except LiarError as error:
        return Known(spec, atlas, missing=str(error))


def run_of(studio: Studio, key: str) -> RunResult | None:
    """The stored run with this key, else the one that has just ended and could not be stored."""
    result, job = studio.store.load(key), studio.jobs.find(key)
    if result is not None or job is None:
        return result
    made: RunResult | None = studio.jobs.snapshot(job).result
    return made
