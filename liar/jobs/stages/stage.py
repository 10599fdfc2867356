"""A stage of a run: one kind of removal, from its checks and its share of the estimate to its work on the model.

A run is a chain of stages, each of which works on the model that the one before left. To add a kind of removal, write its
:class:`Stage` and list it in :mod:`liar.jobs.stages`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from liar.calibration.calibrate import Calibration
from liar.events import Event, Progress, Warned
from liar.jobs.estimates import Estimate
from liar.maths.criteria import ScoreFunction
from liar.models.adapter import Adapter
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.progress import Pace, Part, Stopwatch
from liar.results import RunResult, SiteReport, TriedRun
from liar.runtime.devices import Batch
from liar.sites import Site
from liar.spec import PruneSpec

Events = Generator[Event, None, None]


@dataclass
class Stage(ABC):
    """Removal of one kind from ``loaded``.

    ``variants`` receive what is not repaired, if the pruned variant is measured later. A ``given`` calibration of the dense
    model replaces that of ``batches``; else a one-shot stage leaves its moments in ``kept``, if that is not None. No repair
    sees the ``unseen`` text, to which the attenuation is fitted if ``batches`` are scarce. ``reports`` of the sites,
    ``warnings``, the runs of layers ``tried`` and the ``attenuation`` are complete when :meth:`events` has ended.
    """

    spec: PruneSpec
    criterion: ScoreFunction
    loaded: LoadedModel
    pace: Pace
    watch: Stopwatch
    variants: Variants | None
    batches: Sequence[Batch]
    unseen: Sequence[Batch] = ()
    given: Calibration | None = None
    kept: Calibration | None = None
    reports: list[SiteReport] = field(default_factory=list, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    tried: list[TriedRun] = field(default_factory=list, init=False)
    attenuation: float | None = field(default=None, init=False)

    @property
    def adapter(self) -> Adapter:
        return self.loaded.adapter

    @cached_property
    def sites(self) -> list[Site]:
        """The targeted sites, as they are when the work begins."""
        return self.adapter.sites(self.spec.targets)

    @staticmethod
    @abstractmethod
    def check(spec: PruneSpec, adapter: Adapter) -> None:
        """Refuse choices that are illegal for any text; raises :class:`InvalidSpecError` or :class:`UnsupportedModelError`."""

    @staticmethod
    @abstractmethod
    def parts(estimate: Estimate) -> list[Part]:
        """Parts of the work in order, for the time left; the last one is the pruning."""

    @abstractmethod
    def events(self) -> Events:
        """Do the work."""

    @staticmethod
    @abstractmethod
    def check_stored(result: RunResult, sites: Sequence[Site]) -> None:
        """Raise :class:`InvalidSpecError` if what the run ``result`` removed is not of a model with these ``sites``."""

    @staticmethod
    @abstractmethod
    def restore(
        result: RunResult, batches: Sequence[Batch], working: LoadedModel, variants: Variants
    ) -> Generator[Progress, None, None]:
        """Remove from ``working`` what the run ``result`` removed, and repair what is left as the run did."""

    def _warn(self, message: str) -> Warned:
        self.warnings.append(message)
        return Warned(message)
