"""What is pruned and measured in the parts of the study on real models: a model, its units and its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import log, sqrt
from statistics import fmean, stdev
from typing import NamedTuple, TypeVar

from figures import CLASSIFIERS, SMOLLM2, loaded

from liar import LoadedModel, PruneSpec
from liar.calibration.calibrate import Calibration
from liar.choices import Reconstruction
from liar.errors import ShortTextError
from liar.evaluate.prepared_task import prepare_all
from liar.evaluate.task_readers import Exam
from liar.explore.allocation import UNITS_OF
from liar.jobs.mask_table import repair_steps
from liar.models.loaded import working_copy
from liar.models.surgery import install
from liar.progress import Pace, finish
from liar.progress import Part as PartOfJob
from liar.results import Evaluation
from liar.runtime.memory import PlannedWork
from liar.spec import Targets
from liar.statistics.compare import difference
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS, Metric
from liar.tasks.registry import task_named
from parts.points import Scope

Values = Mapping[str, float]
"""What a point holds."""


class Gain(NamedTuple):
    """How much better one result is than another, of a perplexity in nats, and the paired standard error."""

    ahead: float
    stderr: float

    def __str__(self) -> str:
        return f"{self.ahead:+.3f} ± {self.stderr:.3f}"

    @classmethod
    def of(cls, a: Evaluation, b: Evaluation) -> Gain:
        """How much better ``b`` is than ``a``."""
        found = difference(a, b)
        if METRICS[a.metric].by_ratio:
            assert found.ratio is not None
            assert found.ratio_stderr is not None
            return cls(-log(found.ratio), found.ratio_stderr / found.ratio)
        assert found.stderr is not None
        return cls(found.change, found.stderr)

    @classmethod
    def of_items(cls, a: Iterable[float], b: Iterable[float]) -> Gain:
        """How much more ``b`` has than ``a``, of which each item has a number in both."""
        pairs = [mine - its for its, mine in zip(a, b, strict=True)]
        return cls(fmean(pairs), stdev(pairs) / sqrt(len(pairs)))

    @classmethod
    def read(cls, values: Values, name: str) -> Gain:
        """The gain that a point holds under ``name``."""
        return cls(values[name], values[f"{name} stderr"])

    def named(self, name: str) -> dict[str, float]:
        """As a point holds it under ``name``."""
        return {name: self.ahead, f"{name} stderr": self.stderr}

    @property
    def sign(self) -> int:
        """1 for a gain of two standard errors or more, -1 for a loss of as much, else 0."""
        return (self.ahead >= 2 * self.stderr > 0) - (self.ahead <= -2 * self.stderr < 0)


def named(*found: tuple[str, Evaluation]) -> dict[str, float]:
    """As a point holds results under their names."""
    values: dict[str, float] = {}
    for name, item in found:
        values |= {name: item.value, f"{name} stderr": item.stderr}
    return values


@dataclass(frozen=True)
class Subject:
    """A model, what is removed of it, and the task that measures it."""

    model: str
    task: str
    targets: Targets

    @property
    def name(self) -> str:
        return f"{self.model.removeprefix('demo/')}, {UNITS_OF[self.targets]}"

    @property
    def metric(self) -> Metric:
        return METRICS[task_named(self.task).metrics[0]]

    def words(self, values: Mapping[str, float], name: str) -> str:
        """The value ``name`` of a point and its standard error."""
        return f"{self.metric.words(values[name])} ± {self.metric.words(values[f'{name} stderr'])}"

    def gain_words(self, gain: Gain) -> str:
        """A gain and its standard error: ``+1.2 ± 0.4 points`` or ``+0.120 ± 0.030 nats``."""
        return f"{gain} nats" if self.metric.by_ratio else self.metric.change_words(*gain)

    def spec(self, ratio: float, scope: Scope) -> PruneSpec:
        little = {"tokens": 1024, "evaluate_limit": 64} if scope.fast else {}
        choices = {"ratio": ratio, "schedule": "one-shot", "evaluate": (self.task,), **little}
        return PruneSpec.create(model=self.model, targets=self.targets, **choices)


SUBJECTS = (
    *(Subject(model, task, targets) for model, task in CLASSIFIERS for targets in ("both", "ffn")),
    *(Subject(SMOLLM2, PERPLEXITY.name, targets) for targets in ("ffn", "heads", "both")),
)


Found = Mapping[Subject, Mapping[float, Values]]
"""Points by subject and ratio."""


@dataclass(frozen=True)
class Examined:
    """A subject's dense model, the items that measure it, and its own result."""

    loaded: LoadedModel
    exam: Exam
    dense: Evaluation

    def copy(self, spec: PruneSpec) -> LoadedModel:
        """A model of one's own to prune by ``spec``, with one-shot moments."""
        return working_copy(self.loaded, replace(PlannedWork.of(spec), gradients=False))

    def measured(self, model: LoadedModel) -> Evaluation:
        """Result of a smaller model on the same items."""
        return finish(self.exam.steps(model, "reconstructed"))


@lru_cache(maxsize=2)
def examined(subject: Subject, scope: Scope) -> Examined:
    dense = loaded(subject.model)
    exam = prepare_all(dense, subject.spec(0.5, scope))[subject.task]
    return Examined(dense, exam, finish(exam.steps(dense, "dense")))


T = TypeVar("T")


def with_what_there_is(spec: PruneSpec, measure: Callable[[PruneSpec], T]) -> T:
    """``measure`` a recipe, with all tokens that its text holds if it asks for more."""
    try:
        return measure(spec)
    except ShortTextError as error:
        return measure(spec.model_copy(update={"tokens": error.most}))


def with_each_repair(
    shared: Examined, spec: PruneSpec, reconstructions: Sequence[Reconstruction], calibration: Calibration
) -> dict[Reconstruction, Evaluation]:
    """Result of the masks of ``spec``, one-shot, under each of ``reconstructions``."""
    working = shared.copy(spec)
    pace = Pace([PartOfJob(f"{spec.criterion} masks", 1.0)])
    repairs, _ = finish(repair_steps(spec, reconstructions, working, calibration, pace, (0, 1)))
    found: dict[Reconstruction, Evaluation] = {}
    for name in reconstructions:
        for site, parameters in repairs[name].items():
            install(working.adapter.consumer(site), parameters)
        found[name] = shared.measured(working)
    return found
