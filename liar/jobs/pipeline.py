"""A run as a generator of typed events: load, measure, calibrate, allocate, prune and repair each site, measure.

Closing the generator between two events stops the run and leaves nothing behind. A model passed in is never changed.
Of several processes (:mod:`liar.runtime.distributed`) all make the same smaller model, and only the first measures it.

>>> from liar.jobs.pipeline import run
>>> from liar.spec import PruneSpec
>>> spec = PruneSpec(model="tiny", ratio=0.5, calibration="notes.txt", tokens=512, sequence_length=64)
>>> result = run(spec)
>>> sum(site.kept for site in result.sites), sum(site.units for site in result.sites)
(48, 96)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from liar.calibration.calibrate import Calibration, fits, origin_of, read_text
from liar.data.corpora import unseen_tokens
from liar.data.packing import check_length
from liar.errors import InvalidSpecError
from liar.evaluate.answering.generate import MAX_NEW_TOKENS, check_prompt
from liar.evaluate.outcome import Outcomes, changes_of
from liar.evaluate.prepared_task import check_apart, order_notes, prepare_all, with_shared
from liar.evaluate.text_map import text_map
from liar.events import Event, Finished, Loaded, Progress
from liar.jobs.estimates import Estimate
from liar.jobs.known_dense import KnownDense
from liar.jobs.measures import Measures
from liar.jobs.plan import adjusted, run_parts
from liar.jobs.smaller_vocabulary import in_its_vocabulary
from liar.jobs.stages import stages_of
from liar.jobs.stages.reduction import is_calibrated
from liar.jobs.stages.stage import Events, Stage
from liar.loading.catalog import load_model
from liar.maths.checks import described
from liar.maths.criteria import ScoreFunction, criterion_of, name_of
from liar.models.families import note_of
from liar.models.heads import check_gradients
from liar.models.loaded import LoadedModel, model_info, parameter_count, working_copy
from liar.models.quantize import check_quantizable
from liar.models.self_check import check_walk
from liar.models.variants import Variants
from liar.models.vocabulary.vocabulary import check_vocabulary
from liar.progress import Pace, finish
from liar.report.words.sentences import shared_texts
from liar.results import (
    DENSE,
    VARIANTS,
    CalibrationText,
    Evaluation,
    MeasuredVariant,
    RunResult,
    Shared,
    SiteReport,
    TextMap,
    Totals,
    Variant,
)
from liar.runtime.devices import Batch
from liar.runtime.distributed import is_first
from liar.runtime.environment import describe, is_same_machine, readable_failures
from liar.runtime.memory import PlannedWork
from liar.runtime.offload import is_offloaded
from liar.spec import PruneSpec
from liar.store import DenseStore, RunSummary

_KINDS: Mapping[str, tuple[Any, str]] = {
    "spec": (PruneSpec, "a liar.PruneSpec"),
    "loaded": (LoadedModel | None, "what liar.load_model returns"),
    "prompts": (list | tuple, "a list of texts"),
    "criterion": (Callable | None, "a function of Evidence, or name one of the criteria in the spec"),
    "calibration": (Calibration | None, "what liar.calibrate returns"),
}
"""Arguments of :func:`stream`: what they are, in words too."""


def run(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    criterion: ScoreFunction | None = None,
    calibration: Calibration | None = None,
    dense: Sequence[Evaluation] = (),
) -> RunResult:
    """Do the whole run and return its result; arguments and errors are those of :func:`stream`."""
    events = stream(spec, loaded, prompts=prompts, criterion=criterion, calibration=calibration, dense=dense)
    return finish(events).result


def stream(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    max_new_tokens: int = MAX_NEW_TOKENS,
    criterion: ScoreFunction | None = None,
    calibration: Calibration | None = None,
    dense: Sequence[Evaluation] = (),
    comparison: Outcomes | None = None,
    earlier: RunSummary | None = None,
    store: DenseStore | None = None,
    keep_calibration: bool = False,
) -> Generator[Event, None, Finished]:
    """Run ``spec`` and yield typed events; the last is :class:`Finished`, which is returned too.

    ``loaded`` is the model to prune in place of loading ``spec.model``; it is copied, never changed, and the spec of
    the result names it. All three variants continue (language models) or label (classifiers) the ``prompts``.

    A ``criterion`` of your own replaces that of the spec: any function of :class:`liar.maths.criteria.Evidence` that
    returns scores (bundles,) or (channels,). The spec of the result names it, so that it is not taken for another's.

    Results that runs share can be passed in, and change no figure: a ``calibration`` of the same dense model on the
    same text, tokens, sequence length, separator and seed (another is refused), and
    evaluations of the ``dense`` model on the same items, with the ``comparison`` that recorded its answers (without it a
    classifier's ``changes`` stay empty). With a calibration a one-shot run reads no text, and any other saves its
    first walk. What the dense model answered to tasks and prompts is taken from a ``store``, and what it answers now is kept
    there. The stage times of an ``earlier`` run of the same model on this machine improve the estimates of time left. With
    ``keep_calibration`` a one-shot run that reads its text hands out its calibration, if all of it fits into memory.

    Raises :class:`liar.errors.LiarError` for every expected failure.
    """
    with readable_failures():
        _check_kinds(spec=spec, loaded=loaded, prompts=prompts, criterion=criterion, calibration=calibration)
        criterion = criterion or criterion_of(spec.criterion)
        # The result names the model that was pruned.
        model = spec.model if loaded is None else loaded.id
        spec = spec.model_copy(update={"criterion": name_of(criterion), "model": model})
        known: dict[tuple[str, MeasuredVariant], Evaluation]
        known = {(item.task, item.variant): item for item in dense if item.variant in DENSE}
        calibration = calibration if spec.reads_dense else None
        measures = Measures(spec, prompts, max_new_tokens, known, {} if comparison is None else comparison)
        job = _Run(spec, loaded, measures, criterion, calibration, earlier, store, keep_calibration)
        return (yield from job.events())


def _check_kinds(**arguments: Any) -> None:
    """Raise :class:`InvalidSpecError` for an argument of :func:`stream` of another kind than it takes."""
    for name, value in arguments.items():
        kind, wanted = _KINDS[name]
        if not isinstance(value, kind) or (name == "prompts" and not all(isinstance(text, str) for text in value)):
            raise InvalidSpecError(f"{name} is {described(value)}; give {wanted}.")


@dataclass
class _Run:
    """State of one run: the spec, the model that was passed in, and that which is being pruned."""

    spec: PruneSpec
    given: LoadedModel | None
    measures: Measures
    criterion: ScoreFunction
    calibration: Calibration | None
    earlier: RunSummary | None
    store: DenseStore | None
    keep: bool

    def events(self) -> Generator[Event, None, Finished]:
        given, watch = self.given, self.measures.watch
        with watch.stage("load"):
            yield Progress("load", 0, 1, f"Loading {self.spec.model}")
            work = PlannedWork.of(self.spec)
            loaded = self._load(work) if given is None else given
            self._check(loaded)
            if given is not None:
                loaded = working_copy(given, replace(work, gradients=work.gradients and self.calibration is None))
        self.whole = self.loaded = loaded
        info = model_info(loaded)
        blocks_before = parameter_count(loaded.adapter.layers)
        yield Loaded(info)
        for note in [note_of(loaded.adapter), *self._of_vectors(), *order_notes(loaded, self.spec)]:
            if note is not None:
                yield self.measures.warn(note)

        with watch.stage("vocabulary"):
            loaded, vocabulary = yield from in_its_vocabulary(self.spec, loaded)
        self.loaded, variants = loaded, Variants(loaded, given)
        text = self.calibration.text if self.calibration else None
        batches: list[Batch] = []
        unseen: list[Batch] = []
        if not is_calibrated(self.spec, self.calibration):
            with watch.stage("data"):
                batches, unseen, text = yield from read_text(self.spec, loaded, unseen_tokens(self.spec, loaded))
        if text is not None:
            text = yield from self._apart(text)
        pace = self.measures.pace = self._paced(batches)
        measures = bool(self.spec.evaluate or self.measures.prompts) and is_first()
        parked = variants if measures else None
        work_on = (self.spec, self.criterion, loaded, pace, watch, parked, batches, unseen, self.calibration)
        kept = self._to_fill(text)
        stages = [stage(*work_on, kept) for stage in stages_of(self.spec)]
        if given is None:  # a given dense model stays, so the sites can be shown before anything is measured
            yield from self._measure("dense")
        self.whole = loaded  # frees the rows of tokens that went
        for stage in stages:
            yield from stage.events()
        loaded.adapter.origins = None
        with watch.stage("prune"):
            check_walk(loaded.adapter, pruned=True)
        totals = Totals(
            parameters_before=info.parameters,
            parameters_after=parameter_count(loaded.model),
            block_parameters_before=blocks_before,
            block_parameters_after=parameter_count(loaded.adapter.layers),
        )
        if given is not None:
            yield from self._measure("dense")
        if measures:
            with variants.using("pruned"):
                yield from self._measure("pruned")
            yield from self._measure("reconstructed")
            yield from self.measures.of_speed(loaded, given, partial(self._load, PlannedWork.of_evaluation()))
        shared: Mapping[Shared, object] = {"calibration": self.calibration, "dense": self.measures.recalled}
        finished = Finished(
            RunResult(
                spec=self.spec,
                model=info,
                sites=_by_the_last(stages),
                totals=totals,
                vocabulary=vocabulary,
                calibration=text and text.model_copy(update={"digests": frozenset()}),
                evaluations=self.measures.evaluations,
                generations=self.measures.generations,
                changes=changes_of(self.measures.outcomes),
                maps=list(self._maps(loaded)),
                speeds=self.measures.speeds,
                gains=self.measures.gains,
                weight_bytes=self.measures.weight_bytes,
                tried=[tried for stage in stages for tried in stage.tried],
                attenuation=stages[-1].attenuation,
                warnings=[*(warning for stage in stages for warning in stage.warnings), *self.measures.warnings],
                timings=watch.seconds,
                shared=[name for name, results in shared.items() if results],
                environment=describe(loaded.model),
            ),
            variants if variants.has_pruned and not is_offloaded(loaded.model) else None,
            loaded,
            kept if kept is not None and kept.moments else None,
        )
        yield finished
        return finished

    def _apart(self, text: CalibrationText) -> Generator[Event, None, CalibrationText]:
        """``text`` with what it shares with the exams, of which it may be no part."""
        check_apart(self.spec, text.parts, self.measures.exams)
        text = with_shared(text, self.measures.exams)
        for note in shared_texts(text):
            yield self.measures.warn(note)
        return text

    def _of_vectors(self) -> Iterator[str | None]:
        """Sentences on an embedder: how it is taken, and a choice that suits it badly."""
        if self.loaded.embedder is not None:
            yield self.loaded.embedder.note
            if self.spec.allocation == "loss-curve" and self.spec.cuts_width:
                yield "The vectors of short texts lose much by the allocation loss-curve; of an embedder take error-curve."

    def _maps(self, loaded: LoadedModel) -> Iterator[TextMap]:
        """A map of the texts of each task that compares vectors with those of the dense model."""
        for task, of_task in self.measures.outcomes.items():
            dense = loaded.dense_vectors.get(self.measures.exams[task].compared or "")
            if dense is not None:
                own = {variant: of_task[variant].vectors for variant in VARIANTS[1:] if variant in of_task}
                moved = {variant: vectors for variant, vectors in own.items() if vectors is not None}
                texts = [sample.joined for sample in of_task["reconstructed"].samples]
                yield text_map(task, texts, {"dense": dense, **moved})

    def _to_fill(self, text: CalibrationText | None) -> Calibration | None:
        """An empty calibration that the run fills and hands out; None if it is not to be kept or is passed in."""
        if not self.keep or self.calibration is not None or not (self.spec.reads_dense and self.spec.repairs_by_survey):
            return None
        needs = self.spec.needs.of_model(embeds=self.loaded.embeds)
        return Calibration({}, has=needs, text=text, origin=origin_of(self.spec, self.loaded))

    def _load(self, work: PlannedWork) -> LoadedModel:
        return load_model(self.spec.model, self.spec.device, self.spec.dtype, work=work)

    # -- checks and plan ----------------------------------------------------------------------------------------

    def _check(self, loaded: LoadedModel) -> None:
        """Raise the errors that can be detected before the long work starts."""
        head = loaded.head
        if not self.spec.intercept and self.spec.reconstruction in ("bias", "liar"):
            raise InvalidSpecError(
                f"{self.spec.reconstruction} changes biases, which a repair without an intercept leaves alone; choose "
                "least-squares, scale or none."
            )
        if self.spec.needs.gradients:
            check_gradients(head, streamed=is_offloaded(loaded.model))
        if self.spec.quantize == "int8":
            check_quantizable(loaded)
        if self.spec.vocabulary is not None:
            check_vocabulary(loaded)
        for stage in stages_of(self.spec):
            stage.check(self.spec, loaded.adapter)
        if self.calibration is not None:
            self.calibration.check(self.spec, loaded)
        if not is_calibrated(self.spec, self.calibration):
            check_length(self.spec.sequence_length, loaded)
        self.measures.give(prepare_all(loaded, self.spec), loaded)
        for prompt in self.measures.prompts:
            check_prompt(loaded, prompt, self.measures.max_new_tokens)
        if self.store is not None and (dense := KnownDense.of(self.store, loaded)) is not None:
            self.measures.recall(dense, scored=self.given is not None)

    def _paced(self, batches: Sequence[Batch]) -> Pace:
        """Estimate of all work that follows the reading of the text."""
        measures, earlier = self.measures, self.earlier
        estimate = replace(
            Estimate.of(self.spec, self.loaded, batches),
            prompts=len(measures.prompts),
            new_tokens=measures.max_new_tokens,
            calibrated=self.calibration is not None,
            keeps=fits(self.loaded, self.loaded.adapter.sites(self.spec.targets), norm_aware=True),
        )
        parts = run_parts(estimate, known=measures.recalled, dense_first=self.given is None)
        if earlier is not None and is_same_machine(earlier.environment, describe(self.loaded.model)):
            before = Estimate.of(earlier.spec, self.loaded)
            before = replace(before, prompts=estimate.prompts, new_tokens=estimate.new_tokens)
            known = measures.recalled if "dense" in earlier.shared else ()
            parts = adjusted(parts, run_parts(before, known=known), earlier.timings)
        return Pace(parts)

    # -- measuring ----------------------------------------------------------------------------------------------

    def _measure(self, variant: Variant) -> Events:
        if is_first():
            dense = self.given or self.whole  # until the surgery, the run's own model is dense too
            yield from self.measures.of(variant, dense if variant == "dense" else self.loaded, self.given)


def _by_the_last(stages: Sequence[Stage]) -> list[SiteReport]:
    """The reports of all sites, in the order of the first stage; that of a later stage replaces an earlier one."""
    return list({report.name: report for stage in stages for report in stage.reports}.values())
