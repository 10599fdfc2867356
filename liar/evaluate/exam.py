"""An exam: the items of a task, read and checked once, which every variant of a model then answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from liar.evaluate.changes import Comparison
from liar.evaluate.outcome import Steps, items_of_windows
from liar.evaluate.perplexity import nll_steps, perplexity_of
from liar.results import Evaluation, MeasuredVariant
from liar.spec import Separator
from liar.tasks.record import Task

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

EvaluationSteps = Generator[tuple[int, int], None, Evaluation]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


@dataclass(frozen=True, slots=True)
class Exam(ABC):
    """The items of ``task``: a part ``split`` of ``source``, cut at ``length`` tokens; ``digests`` of their texts, as far as
    they are known.
    """

    task: Task
    source: str
    split: str | None
    length: int | None
    digests: frozenset[int] = field(default=frozenset(), kw_only=True)

    @abstractmethod
    def steps(
        self, loaded: LoadedModel, variant: MeasuredVariant, comparison: Comparison | None = None
    ) -> EvaluationSteps:
        """Let a model answer; ``comparison`` records the answer to each item. ``variant`` only labels the result."""


@dataclass(frozen=True, slots=True)
class WindowsExam(Exam):
    """Windows of running text (n, length) to predict, with ``separator`` between two texts."""

    windows: Tensor
    separator: Separator

    def steps(
        self, loaded: LoadedModel, variant: MeasuredVariant, comparison: Comparison | None = None
    ) -> EvaluationSteps:
        """Measure the perplexity; a comparison records nothing."""
        nll = yield from nll_steps(loaded.model, self.windows)
        value, stderr = perplexity_of(nll)
        return Evaluation(
            task=self.task.name,
            metric=self.task.metrics[0],
            variant=variant,
            value=value,
            n=len(self.windows),
            stderr=stderr,
            sequence_length=self.length,
            separator=self.separator,
            items=items_of_windows(self.windows, nll),
            source=self.source,
            split=self.split,
        )


@dataclass(frozen=True, slots=True)
class ItemsExam(Exam):
    """Items with a right answer: ``ask`` lets a model answer them, ``available`` is the number in the source.

    The metrics are those of the task unless its outcome names its own. ``note``: a sentence on how answers are read.
    """

    ask: Callable[[LoadedModel], Steps]
    available: int | None = None
    note: str | None = None

    def steps(
        self, loaded: LoadedModel, variant: MeasuredVariant, comparison: Comparison | None = None
    ) -> EvaluationSteps:
        """Measure the metrics of the task."""
        outcome = yield from self.ask(loaded)
        if comparison is not None:
            comparison.note(self.task.name, variant, outcome)
        main, *further = outcome.figures(outcome.metrics or self.task.metrics)
        return Evaluation(
            task=self.task.name,
            metric=main.metric,
            variant=variant,
            value=main.value,
            n=len(outcome.answers),
            stderr=main.stderr,
            sequence_length=self.length,
            items=outcome.items,
            source=self.source,
            split=self.split,
            available=outcome.available or self.available,
            cut=outcome.cut,
            further=further,
            majority=outcome.majority,
            note=self.note,
            versions=outcome.versions,
        )
