"""What a run measures of its variants: tasks, the time of a forward pass, answers to prompts."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from liar.evaluate import evaluate_steps
from liar.evaluate.changes import Comparison
from liar.evaluate.speed import speed_steps
from liar.events import Evaluated, Event, Generated, Progress
from liar.generate import generate
from liar.models.catalog import LoadedModel, bytes_in_memory
from liar.models.offload import is_offloaded
from liar.quantize import quantized
from liar.results import DENSE, Evaluation, Generation, Measured, Speed, Variant
from liar.spec import PruneSpec
from liar.timing import Stopwatch, paced
from liar.words import variant_name


class Measures:
    """Collects what :meth:`of` measures, one variant after the other.

    ``dense`` are evaluations of the dense model, rounded or not, that somebody has measured before; ``comparison`` hears
    every single answer.
    """

    def __init__(
        self,
        spec: PruneSpec,
        prompts: Sequence[str],
        max_new_tokens: int,
        dense: Sequence[Evaluation],
        comparison: Comparison | None,
        watch: Stopwatch,
    ) -> None:
        self.spec, self.prompts, self.max_new_tokens, self.watch = spec, prompts, max_new_tokens, watch
        self.known = {(item.task, item.variant): item for item in dense if item.variant in DENSE}
        self.comparison = comparison or Comparison()
        self.evaluations: list[Evaluation] = []
        self.speeds: list[Speed] = []
        self.generations: list[Generation] = []
        self.weight_bytes: dict[Measured, int] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self.spec.evaluate or self.prompts)

    def of(self, variant: Variant, loaded: LoadedModel, dense: LoadedModel | None) -> Generator[Event, None, None]:
        """Measure ``loaded``; where ``dense`` is still in memory, it judges the texts that others write."""
        if self.spec.evaluate:
            yield from self._figures(variant, loaded)
        for number, prompt in enumerate(self.prompts, start=1):
            yield Progress("generate", number - 1, len(self.prompts), f"The {variant} model answers")
            with self.watch.stage("generate"):
                generation = generate(loaded, prompt, variant, max_new_tokens=self.max_new_tokens, dense=dense)
            self.generations.append(generation)
            yield Generated(generation)

    def of_rounded(self, variant: Measured, loaded: LoadedModel) -> Generator[Event, None, None]:
        """Measure an int8 copy of ``loaded``, which lives no longer than that; it answers no prompts."""
        if not self.spec.evaluate:
            return
        with self.watch.stage("quantize"):
            yield Progress("evaluate", 0, 1, f"Making the {variant_name(variant)} model")
            copy = quantized(loaded)
        yield from self._figures(variant, copy)

    def _figures(self, variant: Measured, loaded: LoadedModel) -> Generator[Event, None, None]:
        self.weight_bytes[variant] = bytes_in_memory(loaded.model)
        for task in dict.fromkeys(self.spec.evaluate):
            evaluation = self.known.get((task, variant))
            if evaluation is None:
                with self.watch.stage("evaluate"):
                    steps = evaluate_steps(
                        loaded,
                        task,
                        variant,
                        limit=self.spec.evaluate_limit,
                        sequence_length=self.spec.evaluate_length,
                        separator=self.spec.separator,
                        comparison=self.comparison,
                    )
                    evaluation = yield from paced(
                        steps, "evaluate", f"Measuring {task} of the {variant_name(variant)} model"
                    )
            self.evaluations.append(evaluation)
            yield Evaluated(evaluation)
        yield from self._time(variant, loaded)

    def _time(self, variant: Measured, loaded: LoadedModel) -> Generator[Event, None, None]:
        """The pruned variant computes what the reconstructed one does; a streamed model would time its disk."""
        if variant == "pruned" or is_offloaded(loaded.model):
            return
        with self.watch.stage("evaluate"):
            steps = speed_steps(loaded, variant)
            self.speeds.append((yield from paced(steps, "evaluate", f"Timing the {variant_name(variant)} model")))
