"""What a run says while it goes on. A closed union of small frozen records, so that a page can match on the type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from liar.results import Evaluation, Generation, ModelInfo, RunResult, SiteReport

if TYPE_CHECKING:  # pages match on events, and can be built without torch, which takes seconds to load
    from liar.models.catalog import LoadedModel
    from liar.models.variants import Variants

Stage = Literal["load", "calibrate", "allocate", "prune", "evaluate", "generate", "save"]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` steps of a stage, and how far the whole job is, once some of it has been timed.

    ``share`` of the job (0..1, never falling) is behind, ``seconds_left`` are an estimate of the rest; both None before that.
    ``part`` is the piece of the job's plan that is at work.
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
    """Moments are there; ``tokens`` is how many real tokens entered them."""

    tokens: int


@dataclass(frozen=True, slots=True)
class SiteDone:
    """One site is pruned and repaired; ``done`` of ``total``."""

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
    """Something the reader of the figures should know; the run goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """``variants`` are the models of the run, for whoever wants to ask them more; they live as long as somebody keeps them.

    None for a streamed model, and for a run that neither evaluated nor asked anything. ``model`` is the pruned and repaired
    one in any case.
    """

    result: RunResult
    variants: Variants | None = None
    model: LoadedModel | None = None


Event = Progress | Loaded | Calibrated | SiteDone | Evaluated | Generated | Warned | Finished
