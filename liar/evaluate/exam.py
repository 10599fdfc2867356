"""An exam: the items of a task, read and checked once, which every variant of a model then answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liar.evaluate.changes import Comparison
from liar.evaluate.outcome import Steps
from liar.results import Evaluation, MeasuredVariant
from liar.spec import Separator
from liar.tasks.record import Task

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

EvaluationSteps = Generator[tuple[int, int], None, Evaluation]
"""Generator of (items done, items in all) after each batch; closing it between two batches stops the evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """The items of ``task``, or windows of running text: a part ``split`` of ``source``, cut at ``length`` tokens.

    ``ask`` lets a model answer them. ``available`` is the number of items in the source, ``separator`` is between two texts
    of a window. ``note``: a sentence on how answers are read. ``digests`` are those of the texts, as far as they are known.
    """

    task: Task
    source: str
    split: str | None
    length: int | None
    ask: Callable[[LoadedModel], Steps]
    available: int | None = None
    separator: Separator | None = None
    note: str | None = None
    digests: frozenset[int] = frozenset()

    def steps(
        self, loaded: LoadedModel, variant: MeasuredVariant, comparison: Comparison | None = None
    ) -> EvaluationSteps:
        """Measure the metrics of the task, or those that the outcome names.

        ``comparison`` records the answer to each item. ``variant`` only labels the result.
        """
        outcome = yield from self.ask(loaded)
        if comparison is not None:
            comparison.note(self.task.name, variant, outcome)
        main, *further = outcome.figures(outcome.metrics or self.task.metrics)
        return Evaluation(
            task=self.task.name,
            metric=main.metric,
            variant=variant,
            value=main.value,
            n=outcome.n,
            stderr=main.stderr,
            sequence_length=self.length,
            separator=self.separator,
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
