"""A run as a generator of typed events: load, measure, calibrate, allocate, prune and repair each site, measure.

Closing the generator between two events stops the run and leaves nothing behind. A model passed in is never changed.

>>> from liar.jobs.pipeline import run
>>> from liar.spec import PruneSpec
>>> spec = PruneSpec(model="tiny", ratio=0.5, calibration="notes.txt", tokens=512, sequence_length=64)
>>> result = run(spec)
>>> sum(site.kept for site in result.sites), sum(site.units for site in result.sites)
(48, 96)
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from functools import partial

from torch import Tensor

from liar.calibration.activations import Visit, walk
from liar.calibration.calibrate import Calibration, fits
from liar.calibration.gradients import gradient_steps
from liar.data.corpora import text_of
from liar.data.packing import check_length
from liar.edits import merge
from liar.errors import InvalidSpecError
from liar.evaluate.changes import Comparison
from liar.evaluate.generate import MAX_NEW_TOKENS, check_prompt
from liar.evaluate.tasks import check_evaluations
from liar.events import (
    Calibrated,
    Event,
    Finished,
    Loaded,
    Progress,
    SiteDone,
    Warned,
)
from liar.explore.allocation import Candidate, allocate, check_choices
from liar.jobs.decide import decide
from liar.jobs.estimates import Amounts, Shape
from liar.jobs.measures import Measures
from liar.jobs.plan import adjusted, run_parts
from liar.maths.criteria import ScoreFunction, SiteGradients, criterion_of, name_of
from liar.models.adapter import Batch, execution_device
from liar.models.catalog import LoadedModel, bytes_in_memory, load_model, model_info, parameter_count
from liar.models.environment import describe, is_same_machine, readable_failures
from liar.models.heads import check_gradients
from liar.models.memory import PlannedWork, working_bytes
from liar.models.offload import is_offloaded, resident
from liar.models.placement import check_room
from liar.models.quantize import check_quantizable
from liar.models.surgery import ConsumerParameters, shrink
from liar.models.variants import Variants
from liar.progress import Pace, Stopwatch
from liar.results import QUANTIZED, Evaluation, RunResult, Shared, SiteReport, Totals, Unrounded, Variant
from liar.sites import Site
from liar.spec import PruneSpec
from liar.store import RunSummary

Events = Generator[Event, None, None]

TOKENS_PER_CHANNEL = 3
"""Fewest tokens per channel; with fewer a fitted repair gains little or does harm (README, table of tokens)."""


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
    for event in stream(spec, loaded, prompts=prompts, criterion=criterion, calibration=calibration, dense=dense):
        if isinstance(event, Finished):
            return event.result
    raise AssertionError("a run ends with Finished or with an error")


def stream(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    max_new_tokens: int = MAX_NEW_TOKENS,
    criterion: ScoreFunction | None = None,
    calibration: Calibration | None = None,
    dense: Sequence[Evaluation] = (),
    comparison: Comparison | None = None,
    earlier: RunSummary | None = None,
) -> Events:
    """Run ``spec`` and yield typed events; the last is :class:`Finished`.

    ``loaded`` is the model to prune in place of loading ``spec.model``; it is copied, never changed, and the spec of
    the result names it. All three variants continue (language models) or label (classifiers) the ``prompts``.

    A ``criterion`` of your own replaces that of the spec: any function of :class:`liar.maths.criteria.Evidence` that
    returns scores (bundles,) or (channels,). The spec of the result names it, so that it is not taken for another's.

    Results that runs share can be passed in, and change no figure: a ``calibration`` of the same dense model on the
    same text, tokens, sequence length, separator and seed (not checked), and evaluations of the ``dense`` model on the
    same items, with the ``comparison`` that recorded its answers (without it a classifier's ``changes`` stay empty).
    With a calibration a one-shot run reads no text, and a sequential one saves its first walk. The stage times of an
    ``earlier`` run of the same model on this machine improve the estimates of time left.

    Raises :class:`liar.errors.LiarError` for every expected failure.
    """
    with readable_failures():
        job = _Run(spec, prompts, max_new_tokens, criterion, calibration, dense, comparison, earlier)
        yield from job.events(loaded)


class _Run:
    """State of one run: the spec, the model that is being pruned, and the parts of the result."""

    def __init__(
        self,
        spec: PruneSpec,
        prompts: Sequence[str],
        max_new_tokens: int,
        criterion: ScoreFunction | None,
        calibration: Calibration | None,
        dense: Sequence[Evaluation],
        comparison: Comparison | None,
        earlier: RunSummary | None,
    ) -> None:
        self.criterion = criterion or criterion_of(spec.criterion)
        self.spec = spec.model_copy(update={"criterion": name_of(self.criterion)})
        self.earlier = earlier
        self.calibration = calibration
        self.text = calibration.text if calibration else None
        self.watch = Stopwatch()
        self.measures = Measures(self.spec, prompts, max_new_tokens, dense, comparison, self.watch)
        self.reports: list[SiteReport] = []
        self.warnings: list[str] = []
        self.edits = merge(spec.edits)

    def events(self, given: LoadedModel | None) -> Events:
        self.spec = self.spec if given is None else named_after(self.spec, given)
        with self.watch.stage("load"):
            yield Progress("load", 0, 1, f"Loading {self.spec.model}")
            loaded = self._load(PlannedWork.of(self.spec)) if given is None else given
            self._check(loaded)
            loaded = loaded if given is None else self._copy(given)
        self.loaded, self.adapter = loaded, loaded.adapter
        self.given, self.variants = given, Variants(loaded, given)
        info = model_info(loaded)
        blocks_before = parameter_count(self.adapter.layers)
        yield Loaded(info)

        batches = [] if self._is_calibrated else self._batches()
        sites = self.adapter.sites(self.spec.targets)
        self.pace = self._paced(batches, sites)
        if given is None:  # a given dense model stays, so the sites can be shown before anything is measured
            yield from self._measure("dense")
        yield from self._reduce(batches, sites)
        self.adapter.after_surgery(sites)
        totals = Totals(
            parameters_before=info.parameters,
            parameters_after=parameter_count(loaded.model),
            block_parameters_before=blocks_before,
            block_parameters_after=parameter_count(self.adapter.layers),
        )
        if given is not None:
            yield from self._measure("dense")
        if self.measures.is_wanted:
            with self.variants.using("pruned"):
                yield from self._measure("pruned")
            yield from self._measure("reconstructed")
            again = partial(self._load, PlannedWork.of_evaluation())
            yield from self.measures.of_speed(loaded, given, again, self.pace)
        yield Finished(
            RunResult(
                spec=self.spec,
                model=info,
                sites=self.reports,
                totals=totals,
                calibration=self.text,
                evaluations=self.measures.evaluations,
                generations=self.measures.generations,
                changes=self.measures.comparison.changes(),
                speeds=self.measures.speeds,
                gains=self.measures.gains,
                weight_bytes=self.measures.weight_bytes,
                warnings=self.warnings + self.measures.warnings,
                timings=self.watch.seconds,
                shared=self._shared,
                environment=describe(loaded.model),
            ),
            self.variants if self.variants.has_pruned and not is_offloaded(loaded.model) else None,
            loaded,
        )

    def _copy(self, given: LoadedModel) -> LoadedModel:
        work = PlannedWork.of(self.spec)
        return working_copy(given, work if self.calibration is None else dataclasses.replace(work, gradients=False))

    def _load(self, work: PlannedWork) -> LoadedModel:
        return load_model(self.spec.model, self.spec.device, self.spec.dtype, work=work)

    # -- checks and plan ----------------------------------------------------------------------------------------

    def _check(self, loaded: LoadedModel) -> None:
        """Raise the errors that can be detected before the long work starts."""
        head = loaded.head
        if self.spec.needs_gradients:
            check_gradients(head, streamed=is_offloaded(loaded.model))
        if self.spec.quantize == "int8":
            check_quantizable(loaded)
        sites = loaded.adapter.sites(self.spec.targets)
        check_choices(self.spec, sites)
        if self.calibration is not None:
            self.calibration.check(self.spec, sites)
        if not self._is_calibrated:
            check_length(self.spec.sequence_length, loaded.model.config, loaded.tokenizer)
        check_evaluations(loaded, self.spec)
        for prompt in self.measures.prompts:
            check_prompt(loaded, prompt, self.measures.max_new_tokens)

    @property
    def _is_calibrated(self) -> bool:
        """Whether the run needs no calibration text: one-shot, with a calibration passed in."""
        return self.calibration is not None and self.spec.schedule == "one-shot"

    @property
    def _shared(self) -> list[Shared]:
        calibration: list[Shared] = ["calibration"] if self.calibration is not None else []
        return [*calibration, "dense"] if self.measures.known else calibration

    def _batches(self) -> list[Batch]:
        with self.watch.stage("data"):
            batches, self.text = text_of(self.spec, self.loaded)
            return batches

    def _paced(self, batches: Sequence[Batch], sites: Sequence[Site]) -> Pace:
        """Estimate of all work that follows the reading of the text."""
        measures, shape, earlier = self.measures, Shape.of(self.loaded), self.earlier
        prompts, new_tokens = len(measures.prompts), measures.max_new_tokens
        parts = run_parts(
            self.spec,
            shape,
            Amounts.of(self.spec, self.loaded, batches, prompts=prompts, new_tokens=new_tokens),
            calibrated=self.calibration is not None,
            known=measures.known,
            dense_first=self.given is None,
            keeps=self._keeps(sites),
        )
        if earlier is not None and is_same_machine(earlier.environment, describe(self.loaded.model)):
            amounts = Amounts.of(earlier.spec, self.loaded, prompts=prompts, new_tokens=new_tokens)
            parts = adjusted(parts, run_parts(earlier.spec, shape, amounts), earlier.timings)
        return Pace(parts)

    # -- allocation ---------------------------------------------------------------------------------------------

    def _reduce(self, batches: Sequence[Batch], sites: Sequence[Site]) -> Events:
        """Calibrate, allocate, prune and repair; all moments are freed at the end."""
        calibration = self.calibration
        if calibration is None:
            gradients = (yield from self._gradients(batches)) if self.spec.needs_gradients else {}
            calibration = Calibration({}, gradients, masked=self.spec.needs_mask_gradients)
        kept = yield from self._survey(batches, sites, calibration)
        yield from self._prune(batches, sites, calibration, kept)

    def _gradients(self, batches: Sequence[Batch]) -> Generator[Event, None, dict[str, SiteGradients]]:
        with self.watch.stage("gradients"):
            masks, sensitivity = self.spec.needs_mask_gradients, self.spec.allocation == "loss-curve"
            steps = gradient_steps(self.adapter, batches, self.spec.targets, masks=masks, sensitivity=sensitivity)
            words = "Computing gradients of the loss"
            gradients = yield from self.pace.along("gradients", steps, "calibrate", words)
            return gradients

    def _survey(
        self, batches: Sequence[Batch], sites: Sequence[Site], calibration: Calibration
    ) -> Generator[Event, None, dict[str, int]]:
        """Allocate by the dense model, which uniform allocation does not read: the kept bundles of each site, by name.

        Without a calibration passed in, ``calibration`` is filled by a walk: with scores, and with moments if the run
        is one-shot and they fit into memory.
        """
        spec = self.spec
        if not self._surveys:
            return allocate("uniform", [Candidate(site, 1) for site in sites], spec.ratio)
        candidates: list[Candidate] = []
        with self.watch.stage("calibrate"):
            for done, site in enumerate(self._dense_sites(batches, sites, calibration), start=1):
                candidates.append(calibration.candidate(spec, site, self.adapter, self.criterion))
                yield self.pace.at("survey", "calibrate", done, len(sites), f"Reading {site.name}")
        with self.watch.stage("allocate"):
            return allocate(spec.allocation, candidates, spec.ratio)

    @property
    def _surveys(self) -> bool:
        """Whether the moments of the dense model are read before anything is pruned."""
        return self.spec.allocation != "uniform" or self._is_calibrated

    def _keeps(self, sites: Sequence[Site]) -> bool:
        """Whether the moments of all ``sites`` were passed in or fit into memory."""
        return self._is_calibrated or fits(self.loaded, sites, norm_aware=True)

    def _dense_sites(self, batches: Sequence[Batch], sites: Sequence[Site], calibration: Calibration) -> Iterator[Site]:
        """Every site of the dense model, its block on the device and its moments in ``calibration``."""
        if self.calibration is not None:
            for site in sites:
                with resident(self.adapter.layers[site.layer]):
                    yield site
            return
        keeps = self.spec.schedule == "one-shot" and self._keeps(sites)
        norm_aware = keeps or self.spec.allocation == "error-curve"
        for visit in walk(self.adapter, batches, self.spec.targets, norm_aware=norm_aware):
            calibration.moments[visit.site] = visit.moments
            yield visit.site
            if not keeps:
                del calibration.moments[visit.site]

    # -- pruning and repair -------------------------------------------------------------------------------------

    def _prune(
        self, batches: Sequence[Batch], sites: Sequence[Site], calibration: Calibration, kept: dict[str, int]
    ) -> Events:
        sequential = self.spec.schedule == "sequential"
        if not sequential and calibration.moments:
            visits = self._revisit(sites, calibration)
        else:
            visits = walk(self.adapter, batches, self.spec.targets, sequential=sequential)
        with self.watch.stage("prune"):
            for done, visit in enumerate(visits, start=1):
                if done == 1:
                    yield from self._check_tokens(visit.moments.plain.tokens, sites)
                report = self._prune_site(visit, kept[visit.site.name], self._scores(visit, calibration))
                self.reports.append(report)
                yield SiteDone(report, done, len(sites))
                yield self.pace.at("prune", "prune", done, len(sites), f"Pruned and repaired {visit.site.name}")

    def _revisit(self, sites: Sequence[Site], calibration: Calibration) -> Iterator[Visit]:
        for site in sites:
            with resident(self.adapter.layers[site.layer]):
                yield Visit(site, calibration.moments[site])

    def _check_tokens(self, tokens: int, sites: Sequence[Site]) -> Events:
        yield Calibrated(tokens)
        widest = max(sites, key=lambda site: site.channels)
        enough = TOKENS_PER_CHANNEL * widest.channels
        fitted = self.spec.reconstruction in ("liar", "least-squares") or self.spec.criterion == "obs"
        if fitted and tokens < enough:
            message = (
                f"{tokens:,} calibration tokens are few for the {widest.channels:,} channels of {widest.name}: below "
                f"{TOKENS_PER_CHANNEL} for each a repair fits the noise of the text and may do harm; take {enough:,} or more."
            )
            self.warnings.append(message)
            yield Warned(message)

    def _scores(self, visit: Visit, calibration: Calibration) -> Tensor:
        """Those of the survey; a sequential run scores by the moments of the model pruned so far."""
        if self.spec.schedule == "sequential" or not self._surveys:
            calibration = dataclasses.replace(calibration, moments={visit.site: visit.moments})
        weight = self.adapter.consumer(visit.site).weight.T
        return calibration.scores(self.criterion, visit.site, weight, self.spec.seed)

    def _prune_site(self, visit: Visit, count: int, scores: Tensor) -> SiteReport:
        site, moments = visit.site, visit.moments
        assert moments.norm_aware is not None
        consumer, spec = self.adapter.consumer(site), self.spec
        choose = partial(decide, site, scores, count, moments.plain, consumer.weight.T, edit=self.edits.get(site.name))
        decision = choose(multiple=spec.multiple)
        unrounded: Unrounded | None = None
        if spec.multiple > 1:  # solve again without rounding, to report how much error rounding adds
            other = choose(reconstructions=(spec.reconstruction,))
            unrounded = Unrounded(kept=len(other.units), error=other.errors(moments.plain)[spec.reconstruction])
        report = SiteReport(
            name=site.name,
            layer=site.layer,
            kind=site.kind,
            units=site.units,
            kept=len(decision.units),
            kept_units=decision.units,
            error=decision.errors(moments.plain),
            norm_aware_error=decision.errors(moments.norm_aware),
            unrounded=unrounded,
        )
        if self.measures.is_wanted:
            self.variants.park(site, ConsumerParameters.install_of(consumer, decision.solutions["none"]))
        repaired = ConsumerParameters.install_of(consumer, decision.solutions[spec.reconstruction])
        shrink(self.adapter, site, decision.bundles, repaired)
        visit.kept = decision.channels
        return report

    # -- measuring ----------------------------------------------------------------------------------------------

    def _measure(self, variant: Variant) -> Events:
        given = self.given if variant == "dense" else None  # until the surgery, the run's own model is dense too
        yield from self.measures.of(variant, given or self.loaded, self.given, self.pace)
        if self.spec.quantize == "int8" and variant in QUANTIZED:
            yield from self.measures.of_quantized(variant, given or self.loaded, self.pace)


def named_after(spec: PruneSpec, loaded: LoadedModel) -> PruneSpec:
    """``spec`` with the id of ``loaded`` as its model, so that a result names the pruned model."""
    return spec if spec.model == loaded.id else spec.model_copy(update={"model": loaded.id})


def working_copy(loaded: LoadedModel, work: PlannedWork) -> LoadedModel:
    """Copy ``loaded``, so that the copy can be pruned.

    Raises :class:`InvalidSpecError` for a streamed model, and :class:`InsufficientMemoryError` if memory is too small
    for the copy and the ``work`` on it.
    """
    if is_offloaded(loaded.model):
        raise InvalidSpecError("A streamed model cannot be copied; pass its id in the spec and let the run load it.")
    needed = bytes_in_memory(loaded.model) + working_bytes(loaded.model.config, loaded.model.dtype, work)
    check_room(needed, execution_device(loaded.model))
    model = copy.deepcopy(loaded.model)
    return dataclasses.replace(loaded, model=model, adapter=type(loaded.adapter)(model))
