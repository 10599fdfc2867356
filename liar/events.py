"""Events of a run: a closed union of small frozen records, so that the page can match on the type.

>>> from liar import PruneSpec, stream
>>> from liar.events import SiteDone
>>> spec = PruneSpec(model="tiny", calibration="notes.txt", tokens=512, sequence_length=64)
>>> [event.report.name for event in stream(spec) if isinstance(event, SiteDone)]
['layers.0.ffn', 'layers.1.ffn']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from liar.results import Evaluation, Generation, ModelInfo, RunResult, SiteReport

if TYPE_CHECKING:  # torch takes seconds to load, and the page is built without it
    from liar.calibration.calibrate import Calibration
    from liar.models.loaded import LoadedModel
    from liar.models.variants import Variants

Stage = Literal["load", "calibrate", "allocate", "prune", "evaluate", "generate", "save"]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` steps of a stage, and an estimate for the whole job.

    ``share`` is the finished share of the job (0..1, never falling), ``seconds_left`` the estimated rest; both are None
    until some work has been timed. ``part`` is the name of the current part of the job's plan.
    """

    stage: Stage
    done: int
    total: int
    message: str
    seconds_left: float | None = None
    share: float | None = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    model: ModelInfo


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Moments are computed; ``tokens`` real tokens (no padding) entered them."""

    tokens: int


@dataclass(frozen=True, slots=True)
class SiteDone:
    """One site is pruned and repaired, number ``done`` of ``total``."""

    report: SiteReport
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Generated:
    generation: Generation


@dataclass(frozen=True, slots=True)
class Warned:
    """A caution about the figures; the run continues."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The result and the models of the run.

    ``variants`` are for further prompts and measurements; None for a streamed model, and for a run without evaluations
    and prompts. ``model`` is always the pruned and repaired model. ``calibration`` is that of the run, if it was to be kept.
    """

    result: RunResult
    variants: Variants | None = None
    model: LoadedModel | None = None
    calibration: Calibration | None = None


Event = Progress | Loaded | Calibrated | SiteDone | Evaluated | Generated | Warned | Finished
