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

import torch
from torch import Tensor

from liar.calibration.activations import Visit, walk
from liar.calibration.calibrate import Calibration, candidate_of, fits
from liar.calibration.gradients import gradient_steps
from liar.data.corpora import text_of
from liar.data.packing import check_length
from liar.edits import SiteEdit, merge
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
from liar.explore.allocation import Candidate, allocate, check_choices, edited_scores, settled_count
from liar.jobs.estimates import Amounts, Shape
from liar.jobs.measures import Measures
from liar.jobs.plan import adjusted as taught
from liar.jobs.plan import run_parts
from liar.maths.criteria import Evidence, SiteGradients, kept_bundles, score, units_of
from liar.maths.moments import SiteMoments
from liar.maths.reconstruct import reconstruct_all, relative_errors
from liar.models.adapter import Batch, execution_device
from liar.models.catalog import LoadedModel, bytes_in_memory, load_model, model_info, parameter_count
from liar.models.environment import describe, is_same_machine, readable_failures
from liar.models.families import adapt
from liar.models.heads import check_gradients
from liar.models.memory import PlannedWork, working_bytes
from liar.models.offload import is_offloaded, resident
from liar.models.placement import check_room
from liar.models.quantize import check_quantizable
from liar.models.surgery import ConsumerParameters, kept_channels, shrink
from liar.models.variants import Variants
from liar.progress import Pace, Stopwatch
from liar.results import QUANTIZED, Evaluation, RunResult, Shared, SiteReport, Totals, Unrounded, Variant
from liar.sites import Site
from liar.spec import GRADIENT_CRITERIA, PruneSpec
from liar.store import RunSummary

Events = Generator[Event, None, None]

TOKENS_PER_CHANNEL = 3
"""Fewest tokens per channel; with fewer a fitted repair gains little or does harm (README, table of tokens)."""


def run(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    calibration: Calibration | None = None,
    dense: Sequence[Evaluation] = (),
) -> RunResult:
    """Do the whole run and return its result; arguments and errors are those of :func:`stream`."""
    for event in stream(spec, loaded, prompts=prompts, calibration=calibration, dense=dense):
        if isinstance(event, Finished):
            return event.result
    raise AssertionError("a run ends with Finished or with an error")


def stream(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    max_new_tokens: int = MAX_NEW_TOKENS,
    calibration: Calibration | None = None,
    dense: Sequence[Evaluation] = (),
    comparison: Comparison | None = None,
    earlier: RunSummary | None = None,
) -> Events:
    """Run ``spec`` and yield typed events; the last is :class:`Finished`.

    ``loaded`` is the model to prune in place of loading ``spec.model``; it is copied, never changed, and the spec of
    the result names it. All three variants continue (language models) or label (classifiers) the ``prompts``.

    Results that runs share can be passed in, and change no figure: a ``calibration`` of the same dense model on the
    same text, tokens, sequence length, separator and seed (not checked), and evaluations of the ``dense`` model on the
    same items, with the ``comparison`` that recorded its answers (without it a classifier's ``changes`` stay empty).
    With a calibration a one-shot run reads no text, and a sequential one saves its first walk. The stage times of an
    ``earlier`` run of the same model on this machine improve the estimates of time left.

    Raises :class:`liar.errors.LiarError` for every expected failure.
    """
    with readable_failures():
        job = _Run(spec, prompts, max_new_tokens, calibration, dense, comparison, earlier)
        yield from job.events(loaded)


@dataclasses.dataclass(slots=True)
class Survey:
    """Result of the walk through the dense model before pruning, by site name: ``kept`` counts of bundles.

    A one-shot run also reuses its ``scores`` and, if all fit into memory, its ``moments``; both are empty otherwise.
    """

    kept: dict[str, int]
    moments: dict[str, SiteMoments]
    scores: dict[str, Tensor]


class _Run:
    """State of one run: the spec, the model that is being pruned, and the parts of the result."""

    def __init__(
        self,
        spec: PruneSpec,
        prompts: Sequence[str],
        max_new_tokens: int,
        calibration: Calibration | None,
        dense: Sequence[Evaluation],
        comparison: Comparison | None,
        earlier: RunSummary | None,
    ) -> None:
        self.spec = spec
        self.earlier = earlier
        self.calibration = calibration
        self.text = calibration.text if calibration else None
        self.watch = Stopwatch()
        self.measures = Measures(spec, prompts, max_new_tokens, dense, comparison, self.watch)
        self.reports: list[SiteReport] = []
        self.warnings: list[str] = []
        self.gradients: dict[str, SiteGradients] = {}
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
        if self.calibration is not None:
            self.gradients = self.calibration.gradients
        elif self.spec.needs_gradients:
            yield from self._gradients(batches)
        survey = yield from self._survey(batches, sites)
        yield from self._prune(batches, sites, survey)
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
            parts = taught(parts, run_parts(earlier.spec, shape, amounts), earlier.timings)
        return Pace(parts)

    def _gradients(self, batches: Sequence[Batch]) -> Events:
        with self.watch.stage("gradients"):
            masks, sensitivity = self.spec.criterion in GRADIENT_CRITERIA, self.spec.allocation == "loss-curve"
            steps = gradient_steps(self.adapter, batches, self.spec.targets, masks=masks, sensitivity=sensitivity)
            self.gradients = yield from self.pace.along("gradients", steps, "calibrate", "Asking the loss what matters")

    # -- allocation ---------------------------------------------------------------------------------------------

    def _survey(self, batches: Sequence[Batch], sites: Sequence[Site]) -> Generator[Event, None, Survey | None]:
        """Walk through the dense model and allocate; None if uniform allocation needs no walk before pruning.

        A calibration that was passed in replaces the walk, for one-shot the walk of :meth:`_prune` as well. Without
        one, a one-shot run keeps all moments if they fit into memory, else it walks again.
        """
        if self.spec.allocation == "uniform" and not self._is_calibrated:
            return None
        one_shot = self.spec.schedule == "one-shot"
        keeps = one_shot and self._keeps(sites)
        norm_aware = keeps or self.spec.allocation == "error-curve"
        candidates: list[Candidate] = []
        moments: dict[str, SiteMoments] = {}
        scores: dict[str, Tensor] = {}
        with self.watch.stage("calibrate"):
            for done, visit in enumerate(self._dense_visits(batches, sites, norm_aware), start=1):
                candidate = self._candidate(visit)
                candidates.append(candidate)
                if one_shot and candidate.scores is not None:
                    scores[visit.site.name] = torch.from_numpy(candidate.scores)
                if keeps:
                    moments[visit.site.name] = visit.moments
                yield self.pace.at("survey", "calibrate", done, len(sites), f"Reading {visit.site.name}")
        with self.watch.stage("allocate"):
            kept = allocate(self.spec.allocation, candidates, self.spec.ratio)
        return Survey(kept, moments, scores)

    def _keeps(self, sites: Sequence[Site]) -> bool:
        """Whether the moments of all ``sites`` were passed in or fit into memory."""
        return self._is_calibrated or fits(self.loaded, sites, norm_aware=True)

    def _dense_visits(self, batches: Sequence[Batch], sites: Sequence[Site], norm_aware: bool) -> Iterator[Visit]:
        """Every site with its moments in the dense model: from the calibration if there is one, else by a walk."""
        if self.calibration is not None:
            return self._revisit(sites, {site.name: self.calibration.moments[site] for site in sites})
        return walk(self.adapter, batches, self.spec.targets, norm_aware=norm_aware)

    @torch.no_grad()
    def _candidate(self, visit: Visit) -> Candidate:
        if self.calibration is not None:
            return self.calibration.candidate(self.spec, visit.site, self.adapter)
        scores = self._score(visit, self.adapter.consumer(visit.site).weight.T)
        gradients = self.gradients.get(visit.site.name)
        return candidate_of(self.spec, visit.site, visit.moments, scores, self.adapter, gradients)

    def _score(self, visit: Visit, weight: Tensor) -> Tensor:
        gradients = self.gradients.get(visit.site.name)
        return score(self.spec.criterion, Evidence(visit.site, visit.moments.plain, weight, self.spec.seed, gradients))

    # -- pruning and repair -------------------------------------------------------------------------------------

    def _prune(self, batches: Sequence[Batch], sites: Sequence[Site], survey: Survey | None) -> Events:
        kept = survey.kept if survey else allocate("uniform", [Candidate(site, 1) for site in sites], self.spec.ratio)
        if survey is not None and survey.moments:
            visits = self._revisit(sites, survey.moments)
        else:
            visits = walk(self.adapter, batches, self.spec.targets, sequential=self.spec.schedule == "sequential")
        tokens = 0
        with self.watch.stage("prune"):
            for done, visit in enumerate(visits, start=1):
                if done == 1:
                    tokens = visit.moments.plain.tokens
                    yield from self._say_tokens(tokens, sites)
                known = survey.scores.get(visit.site.name) if survey else None
                report = self._prune_site(visit, kept[visit.site.name], known)
                self.reports.append(report)
                yield SiteDone(report, done, len(sites))
                yield self.pace.at("prune", "prune", done, len(sites), f"Pruned and repaired {visit.site.name}")

    def _revisit(self, sites: Sequence[Site], moments: dict[str, SiteMoments]) -> Iterator[Visit]:
        for site in sites:
            with resident(self.adapter.layers[site.layer]):
                yield Visit(site, moments.pop(site.name))

    def _say_tokens(self, tokens: int, sites: Sequence[Site]) -> Events:
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

    @torch.no_grad()
    def _prune_site(self, visit: Visit, count: int, scores: Tensor | None) -> SiteReport:
        site, moments = visit.site, visit.moments
        assert moments.norm_aware is not None
        consumer = self.adapter.consumer(site)
        weight = consumer.weight.T
        scores = self._score(visit, weight) if scores is None else scores
        edit = self.edits.get(site.name)
        bundles = chosen_bundles(site, scores, settled_count(site, count, self.spec.multiple, edit), edit)
        channels = kept_channels(site, bundles, weight.device)
        solutions = reconstruct_all(moments.plain, weight, channels, site=site.name)
        report = SiteReport(
            name=site.name,
            layer=site.layer,
            kind=site.kind,
            units=site.units,
            kept=len(bundles) * site.group,
            kept_units=units_of(site, bundles).tolist(),
            error=relative_errors(moments.plain, weight, channels, solutions),
            norm_aware_error=relative_errors(moments.norm_aware, weight, channels, solutions),
            unrounded=self._unrounded(visit, count, scores) if self.spec.multiple > 1 else None,
        )
        if self.measures.is_wanted:
            self.variants.park(site, ConsumerParameters.install_of(consumer, solutions["none"]))
        repaired = ConsumerParameters.install_of(consumer, solutions[self.spec.reconstruction])
        shrink(self.adapter, site, bundles, repaired)
        visit.kept = channels
        return report

    def _unrounded(self, visit: Visit, count: int, scores: Tensor) -> Unrounded:
        """Solve again without rounding, to report how much error rounding adds."""
        site, moments, edit = visit.site, visit.moments.plain, self.edits.get(visit.site.name)
        weight = self.adapter.consumer(site).weight.T
        bundles = chosen_bundles(site, scores, settled_count(site, count, edit=edit), edit)
        channels = kept_channels(site, bundles, weight.device)
        method = self.spec.reconstruction
        solutions = reconstruct_all(moments, weight, channels, (method,), site=site.name)
        error = relative_errors(moments, weight, channels, solutions)[method]
        return Unrounded(kept=len(bundles) * site.group, error=error)

    # -- measuring ----------------------------------------------------------------------------------------------

    def _measure(self, variant: Variant) -> Events:
        given = self.given if variant == "dense" else None  # until the surgery, the run's own model is dense too
        yield from self.measures.of(variant, given or self.loaded, self.given, self.pace)
        if self.spec.quantize == "int8" and variant in QUANTIZED:
            yield from self.measures.of_quantized(variant, given or self.loaded, self.pace)


def chosen_bundles(site: Site, scores: Tensor, count: int, edit: SiteEdit | None) -> Tensor:
    """The ``count`` bundles to keep, ascending: the best by ``scores`` (bundles,), after the hand edits of ``edit``."""
    if edit is not None:
        scores = torch.from_numpy(edited_scores(edit, site, scores.numpy()))
    return kept_bundles(scores, count)


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
    return dataclasses.replace(loaded, model=model, adapter=adapt(model))
