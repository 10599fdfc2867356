"""The run: load, measure, calibrate, spread, prune and repair site by site, measure again. A generator of typed events.

Closing the generator between any two events stops the run and leaves nothing behind; a model that was passed in is never
changed.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor

from liar.allocation import Candidate, allocate
from liar.criteria import Evidence, kept_bundles, order_of, score, units_of
from liar.data.corpora import calibration_batches
from liar.environment import describe, readable_failures
from liar.error_curves import error_curves
from liar.errors import InvalidSpecError
from liar.evaluate import evaluate_steps
from liar.events import (
    Calibrated,
    Evaluated,
    Event,
    Finished,
    Generated,
    Loaded,
    Progress,
    SiteDone,
    Warned,
)
from liar.generate import generate
from liar.gradients import SiteGradients, gradient_steps
from liar.models.adapter import Batch, Site, adapt
from liar.models.catalog import LoadedModel, load_model, model_info, parameter_count
from liar.models.offload import is_offloaded, resident
from liar.moments import SiteMoments
from liar.reconstruct import reconstruct_all, relative_errors
from liar.results import Evaluation, Generation, RunResult, SiteReport, Totals, Variant
from liar.spec import CURVE_ALLOCATIONS, PruneSpec
from liar.surgery import ConsumerParameters, install, kept_channels, shrink
from liar.timing import Pace, Stopwatch, paced
from liar.walk import Visit, walk

Events = Generator[Event, None, None]


def run(spec: PruneSpec, loaded: LoadedModel | None = None, *, prompts: Sequence[str] = ()) -> RunResult:
    """Do the whole run and return its result; see :func:`stream` for what is raised.

    >>> result = run(PruneSpec(model="demo/minilm-sentiment", ratio=0.5))  # doctest: +SKIP
    """
    for event in stream(spec, loaded, prompts=prompts):
        if isinstance(event, Finished):
            return event.result
    raise AssertionError("a run ends with Finished or with an error")


def stream(
    spec: PruneSpec,
    loaded: LoadedModel | None = None,
    *,
    prompts: Sequence[str] = (),
    max_new_tokens: int = 48,
) -> Events:
    """Run ``spec`` and say what happens, event by event; the last is :class:`Finished`.

    ``loaded`` saves loading ``spec.model``; it is copied, never changed. ``prompts`` are continued (language models) or
    labelled (classifiers) by all three variants.

    Raises :class:`liar.errors.LiarError` for everything that can be expected to go wrong.
    """
    with readable_failures():
        job = _Run(spec, prompts, max_new_tokens)
        yield from job.events(loaded)


@dataclasses.dataclass(slots=True)
class Survey:
    """What the dense model tells before anything is pruned: kept counts, and for one-shot all that is needed again."""

    kept: dict[str, int]
    moments: dict[str, SiteMoments]
    scores: dict[str, Tensor]


class _Run:
    """State of one run: the spec, the model as it shrinks, and everything that goes into the result."""

    def __init__(self, spec: PruneSpec, prompts: Sequence[str], max_new_tokens: int) -> None:
        self.spec = spec
        self.prompts = prompts
        self.max_new_tokens = max_new_tokens
        self.watch = Stopwatch()
        self.evaluations: list[Evaluation] = []
        self.generations: list[Generation] = []
        self.reports: list[SiteReport] = []
        self.warnings: list[str] = []
        self.gradients: dict[str, SiteGradients] = {}
        self.unrepaired: dict[Site, ConsumerParameters] = {}
        self.repaired: dict[Site, ConsumerParameters] = {}

    def events(self, given: LoadedModel | None) -> Events:
        with self.watch.stage("load"):
            yield Progress("load", 0, 1, f"Loading {self.spec.model}")
            loaded = load_model(self.spec.model, self.spec.device, self.spec.dtype) if given is None else _copy(given)
        self.loaded, self.adapter = loaded, loaded.adapter
        info = model_info(loaded)
        blocks_before = parameter_count(self.adapter.layers)
        self._check()
        yield Loaded(info)

        batches = self._batches()
        sites = self.adapter.sites(self.spec.targets)
        yield from self._measure("dense")
        if self.spec.needs_gradients:
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
        if self.spec.evaluate or self.prompts:
            yield from self._measure_variants()
        yield Finished(
            RunResult(
                spec=self.spec,
                model=info,
                sites=self.reports,
                totals=totals,
                evaluations=self.evaluations,
                generations=self.generations,
                warnings=self.warnings,
                timings=self.watch.seconds,
                environment=describe(loaded.model),
            )
        )

    # -- before anything is touched -----------------------------------------------------------------------------

    def _check(self) -> None:
        """Everything that can be refused before the long work starts."""
        if self.spec.needs_gradients and is_offloaded(self.loaded.model):
            raise InvalidSpecError(
                "taylor, fisher and loss-curve need a backward pass through the whole model, which is streamed here; choose "
                "the criterion fluctuation or obs with the allocation error-curve, or a device that holds the model."
            )
        candidates = [Candidate(site, 1) for site in self.adapter.sites(self.spec.targets)]
        allocate("uniform", candidates, self.spec.ratio)

    def _batches(self) -> list[Batch]:
        with self.watch.stage("data"):
            spec = self.spec
            return calibration_batches(spec.calibration, self.loaded, spec.tokens, spec.sequence_length, spec.seed)

    def _gradients(self, batches: Sequence[Batch]) -> Events:
        with self.watch.stage("gradients"):
            steps = gradient_steps(self.adapter, batches, self.spec.targets)
            self.gradients = yield from paced(steps, "calibrate", "Asking the loss what matters")

    # -- spreading the ratio ------------------------------------------------------------------------------------

    def _survey(self, batches: Sequence[Batch], sites: Sequence[Site]) -> Generator[Event, None, Survey | None]:
        """Uniform allocation knows its counts beforehand; the others look at the dense model first."""
        if self.spec.allocation == "uniform":
            return None
        candidates: list[Candidate] = []
        moments: dict[str, SiteMoments] = {}
        scores: dict[str, Tensor] = {}
        pace = Pace("calibrate", len(sites))
        with self.watch.stage("calibrate"):
            weights: dict[str, list[Tensor]] | None = None
            if self.spec.allocation == "loss-curve":
                weights = {name: found.tokens for name, found in self.gradients.items()}
            visits = walk(self.adapter, batches, self.spec.targets, token_weights=weights)
            for done, visit in enumerate(visits, start=1):
                candidate = self._candidate(visit)
                candidates.append(candidate)
                if self.spec.schedule == "one-shot" and candidate.scores is not None:
                    scores[visit.site.name] = candidate.scores
                    moments[visit.site.name] = dataclasses.replace(visit.moments, loss_aware=None)
                yield pace.at(done, f"Reading {visit.site.name}")
        with self.watch.stage("allocate"):
            kept = allocate(self.spec.allocation, candidates, self.spec.ratio)
        return Survey(kept, moments, scores)

    @torch.no_grad()
    def _candidate(self, visit: Visit) -> Candidate:
        site = visit.site
        weight = self.adapter.consumer(site).weight.T
        scores = self._score(visit, weight)
        damage: Tensor | None = None
        if self.spec.allocation in CURVE_ALLOCATIONS:
            curves = error_curves(
                visit.moments.loss_aware or visit.moments.norm_aware,
                weight,
                order_of(scores),
                bundle_size=site.bundle_size,
                reconstructions=(self.spec.reconstruction,),
                site=site.name,
            )
            damage = curves.error[self.spec.reconstruction] * curves.energy
        return Candidate(site, self.adapter.bundle_parameters(site), scores, damage)

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
        pace = Pace("prune", len(sites))
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
                yield pace.at(done, f"Pruned and repaired {visit.site.name}")

    def _revisit(self, sites: Sequence[Site], moments: dict[str, SiteMoments]) -> Iterator[Visit]:
        for site in sites:
            with resident(self.adapter.layers[site.layer]):
                yield Visit(site, moments.pop(site.name))

    def _say_tokens(self, tokens: int, sites: Sequence[Site]) -> Events:
        yield Calibrated(tokens)
        widest = max(sites, key=lambda site: site.channels)
        if tokens < widest.channels:
            message = (
                f"{tokens:,} calibration tokens are fewer than the {widest.channels:,} channels of {widest.name}, so the "
                "ridge carries the solve; more tokens would repair better."
            )
            self.warnings.append(message)
            yield Warned(message)

    @torch.no_grad()
    def _prune_site(self, visit: Visit, count: int, scores: Tensor | None) -> SiteReport:
        site, moments = visit.site, visit.moments
        consumer = self.adapter.consumer(site)
        weight = consumer.weight.T
        bundles = kept_bundles(self._score(visit, weight) if scores is None else scores, count)
        channels = kept_channels(site, bundles, weight.device)
        solutions = reconstruct_all(moments.plain, weight, channels, site=site.name)
        report = SiteReport(
            name=site.name,
            layer=site.layer,
            kind=site.kind,
            units=site.units,
            kept=count * site.group,
            kept_units=units_of(site, bundles).tolist(),
            error=relative_errors(moments.plain, weight, channels, solutions),
            norm_aware_error=relative_errors(moments.norm_aware, weight, channels, solutions),
        )
        if self.spec.evaluate or self.prompts:
            self.unrepaired[site] = _on_host(ConsumerParameters.install_of(consumer, solutions["none"]))
        repaired = ConsumerParameters.install_of(consumer, solutions[self.spec.reconstruction])
        shrink(self.adapter, site, bundles, repaired)
        visit.kept = channels
        return report

    # -- measuring ----------------------------------------------------------------------------------------------

    def _measure_variants(self) -> Events:
        """The pruned variant shares everything but its consumers with the reconstructed one."""
        repaired: dict[Site, ConsumerParameters] = {}
        for site, parameters in self.unrepaired.items():
            with resident(self.adapter.layers[site.layer]):
                consumer = self.adapter.consumer(site)
                bias = None if consumer.bias is None else consumer.bias.detach()
                repaired[site] = _on_host(ConsumerParameters(consumer.weight.detach(), bias))
                install(self.adapter, site, parameters)
        yield from self._measure("pruned")
        for site, parameters in repaired.items():
            with resident(self.adapter.layers[site.layer]):
                install(self.adapter, site, parameters)
        yield from self._measure("reconstructed")

    def _measure(self, variant: Variant) -> Events:
        for task in dict.fromkeys(self.spec.evaluate):
            with self.watch.stage("evaluate"):
                steps = evaluate_steps(self.loaded, task, variant, limit=self.spec.evaluate_limit)
                evaluation = yield from paced(steps, "evaluate", f"Measuring {task} of the {variant} model")
            self.evaluations.append(evaluation)
            yield Evaluated(evaluation)
        for number, prompt in enumerate(self.prompts, start=1):
            yield Progress("generate", number - 1, len(self.prompts), f"The {variant} model answers")
            with self.watch.stage("generate"):
                generation = generate(self.loaded, prompt, variant, max_new_tokens=self.max_new_tokens)
            self.generations.append(generation)
            yield Generated(generation)


def _on_host(parameters: ConsumerParameters) -> ConsumerParameters:
    return ConsumerParameters(parameters.weight.cpu(), None if parameters.bias is None else parameters.bias.cpu())


def _copy(loaded: LoadedModel) -> LoadedModel:
    if is_offloaded(loaded.model):
        raise InvalidSpecError("A streamed model cannot be copied; pass its id in the spec and let the run load it.")
    model = copy.deepcopy(loaded.model)
    return dataclasses.replace(loaded, model=model, adapter=adapt(model))
