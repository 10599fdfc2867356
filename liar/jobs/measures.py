"""Measurements of the variants of a run: tasks, the time of a forward pass, answers to prompts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from liar.errors import InsufficientMemoryError
from liar.evaluate.answering.generate import generate
from liar.evaluate.outcome import Outcomes
from liar.evaluate.task_readers import Exam
from liar.evaluate.timing.speed import reading_steps
from liar.events import Evaluated, Event, Generated, Warned
from liar.jobs.known_dense import KnownDense
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.quantize import quantized
from liar.progress import Pace, Stopwatch
from liar.report.words.metric_sentences import variant_name
from liar.results import DENSE, MEASURED, QUANTIZED, Evaluation, Generation, MeasuredVariant, Speed, SpeedGain, Variant
from liar.runtime.environment import readable_failures
from liar.runtime.offload import is_offloaded
from liar.spec import PruneSpec


@dataclass
class Measures:
    """Collected measurements of a run, one variant after the other.

    ``known`` are earlier evaluations of the dense model or its quantized copy, and ``answered`` its earlier answers to
    prompts, which are not repeated; ``outcomes`` records the answer to every item. What is measured of the dense model is kept
    in ``dense``, see :meth:`recall`. ``exams``, one for each task of the recipe, and the ``pace`` of the run must be set
    before anything is measured.
    """

    spec: PruneSpec
    prompts: Sequence[str]
    max_new_tokens: int
    known: dict[tuple[str, MeasuredVariant], Evaluation]
    outcomes: Outcomes
    watch: Stopwatch = field(default_factory=Stopwatch)
    dense: KnownDense | None = None
    answered: dict[str, Generation] = field(default_factory=dict)
    pace: Pace = field(init=False)
    exams: Mapping[str, Exam] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    gains: list[SpeedGain] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    weight_bytes: dict[MeasuredVariant, int] = field(default_factory=dict)
    _speeds: dict[MeasuredVariant, Speed] = field(default_factory=dict)

    @property
    def speeds(self) -> list[Speed]:
        """Speeds of the timed variants, in the order of :data:`liar.results.MEASURED`."""
        return [self._speeds[variant] for variant in MEASURED if variant in self._speeds]

    def give(self, exams: Mapping[str, Exam], loaded: LoadedModel) -> None:
        """Set the exams; of a dense model ``loaded`` that has to answer one, what is known of it does not do."""
        self.exams = exams
        self.known = {
            key: known for key, known in self.known.items() if key[0] in exams and not exams[key[0]].is_open(loaded)
        }

    def recall(self, dense: KnownDense, *, scored: bool) -> None:
        """Take from ``dense`` what it knows; ``scored`` if the dense model scores its answers to prompts."""
        self.dense = dense
        for task, exam in self.exams.items():
            if (task, "dense") not in self.known and (found := dense.task(exam)) is not None:
                self.known[task, "dense"], self.outcomes.setdefault(task, {})["dense"] = found
        for prompt in self.prompts:
            if (answer := dense.answer(prompt, self.max_new_tokens, scored=scored)) is not None:
                self.answered[prompt] = answer

    @property
    def recalled(self) -> set[tuple[str, MeasuredVariant]]:
        """What is not measured again: tasks, and "answers" if all prompts are answered, each with the variant."""
        answers = {("answers", DENSE[0])} if self.prompts and self.answered.keys() >= set(self.prompts) else set()
        return {*self.known, *answers}

    def of(self, variant: Variant, loaded: LoadedModel, dense: LoadedModel | None) -> Generator[Event, None, None]:
        """Measure ``loaded``, and its quantized copy if the recipe wants it; the ``dense`` model, if still in memory, scores
        the texts that it generates.
        """
        if self.spec.evaluate:
            yield from self._figures(variant, loaded)
        for number, prompt in enumerate(self.prompts, start=1):
            generation = self.answered.get(prompt) if variant == "dense" else None
            if generation is None:
                words = f"The {variant} model answers"
                yield self.pace.at(f"{variant} answers", "generate", number - 1, len(self.prompts), words)
                with self.watch.stage("generate"):
                    generation = generate(loaded, prompt, variant, max_new_tokens=self.max_new_tokens, dense=dense)
                if variant == "dense" and self.dense is not None:
                    self.dense.keep_answer(generation, self.max_new_tokens, scored=dense is not None)
            self.generations.append(generation)
            yield Generated(generation)
        if self.spec.evaluate and self.spec.quantize == "int8" and variant in QUANTIZED:
            yield from self._of_quantized(variant, loaded)

    def _of_quantized(self, exact: Variant, loaded: LoadedModel) -> Generator[Event, None, None]:
        """Measure a temporary quantized copy of ``loaded``, and time both in turns; the copy answers no prompts."""
        variant = QUANTIZED[exact]
        with self.watch.stage("quantize"):
            words = f"Making the {variant_name(variant)} model"
            yield self.pace.at(f"{variant} quantizing", "evaluate", 0, 1, words)
            copy = quantized(loaded)
        yield from self._figures(variant, copy)
        yield from self._turns({exact: loaded, variant: copy})

    def of_speed(
        self, reconstructed: LoadedModel, dense: LoadedModel | None, reload: Callable[[], LoadedModel]
    ) -> Generator[Event, None, None]:
        """Time the ``reconstructed`` model in turns with ``dense``, which ``reload`` loads if it is None.

        A streamed model is not timed: the time would be that of its disk or bus. The pruned variant is not timed
        either: it has the shapes of the reconstructed one.
        """
        if not self.spec.evaluate or is_offloaded(reconstructed.model):
            return
        if dense is None:
            words = "Loading the dense model once more, to time both in turns"
            yield self.pace.at("reconstructed timing", "load", 0, 1, words)
            with self.watch.stage("load"), suppress(InsufficientMemoryError), readable_failures():
                loaded = reload()
                dense = None if is_offloaded(loaded.model) else loaded
        if dense is not None:
            yield from self._turns({"dense": dense, "reconstructed": reconstructed})
            return
        yield self.warn(
            "No speed was measured, since the dense model does not fit into memory beside the reconstructed one; on a "
            "machine that holds both, `liar measure` times them."
        )

    def warn(self, message: str) -> Warned:
        self.warnings.append(message)
        return Warned(message)

    def _figures(self, variant: MeasuredVariant, loaded: LoadedModel) -> Generator[Event, None, None]:
        self.weight_bytes[variant] = bytes_in_memory(loaded.model)
        for task in dict.fromkeys(self.spec.evaluate):
            evaluation = self.known.get((task, variant))
            if evaluation is None:
                with self.watch.stage("evaluate"):
                    steps = self.exams[task].steps(loaded, variant, self.outcomes)
                    words = f"Measuring {task} of the {variant_name(variant)} model"
                    evaluation = yield from self.pace.along(f"{variant} {task}", steps, "evaluate", words)
                if variant == "dense" and self.dense is not None:
                    self.dense.keep_task(self.exams[task], evaluation, self.outcomes[task][variant])
            self.evaluations.append(evaluation)
            yield Evaluated(evaluation)

    def _turns(self, models: dict[MeasuredVariant, LoadedModel]) -> Generator[Event, None, None]:
        than, variant = models
        words = f"Timing the {variant_name(than)} and the {variant_name(variant)} model in turns"
        with self.watch.stage("evaluate"):
            steps = reading_steps(models)
            speeds, gain = yield from self.pace.along(f"{variant} timing", steps, "evaluate", words)
        self._speeds |= {speed.variant: speed for speed in speeds}
        self.gains.append(gain)
