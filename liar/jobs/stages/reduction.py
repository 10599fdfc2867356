"""The part of a run that changes the model: calibrate, allocate, then prune and repair site by site."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from liar.calibration.activations import Visit, walk
from liar.calibration.calibrate import Calibration, coherence_of, fits
from liar.calibration.gradients import gradient_steps
from liar.calibration.sample import CURVE_TOKENS, MEAN_TOKENS
from liar.choices import REPAIRS
from liar.data.corpora import unseen_tokens
from liar.edits import merge
from liar.errors import InvalidSpecError
from liar.events import Calibrated, Event, Progress, SiteDone
from liar.explore.allocation import Candidate, best_bundles, check_choices, kept_counts, share_warning
from liar.explore.forecast import report_of
from liar.jobs.estimates import Estimate
from liar.jobs.stages.decide import Decision, decide
from liar.jobs.stages.stage import Events, Stage
from liar.maths.criteria import units_of
from liar.maths.drift import LEAST_FACTOR
from liar.models.adapter import Adapter
from liar.models.loaded import LoadedModel
from liar.models.surgery import ConsumerParameters, shrink
from liar.models.variants import Variants
from liar.progress import Pace, Part
from liar.results import RunResult, SiteReport, removed_layers
from liar.runtime.devices import Batch
from liar.runtime.distributed import processes
from liar.runtime.offload import resident
from liar.sites import Site
from liar.spec import CURVE_ALLOCATIONS, PruneSpec

FEWEST_PER_CHANNEL = 3
"""Tokens for each channel below which a fitted repair recovers clearly less (docs/results/defaults.md)."""

_AT_A_BOUND = {
    1.0: "The calibration text does not show by how much the pruned model is over-confident, so the gain of the "
    "last norm stays as it was; take text that varies more.",
    LEAST_FACTOR: "The last hidden states of the pruned model have so little in common with the dense ones that the gain of "
    f"the last norm is multiplied by {LEAST_FACTOR:g}, the least allowed; remove less, or take text that varies more.",
}
"""What is said of an attenuation at one of its bounds."""


def is_calibrated(spec: PruneSpec, calibration: Calibration | None) -> bool:
    """Whether a run of ``spec`` reads no calibration text: it repairs by the moments that allocate, which are passed in."""
    return calibration is not None and spec.repairs_by_survey


def surveys(spec: PruneSpec, *, calibrated: bool) -> bool:
    """Whether units are chosen before any goes: else one walk over the dense model chooses and repairs, site by site."""
    return calibrated or spec.allocation != "uniform" or not spec.repairs_by_survey


class Reduction(Stage):
    """Calibration, allocation, surgery and repair of the sites, which become smaller.

    All moments of its own calibration are freed at the end, unless they are kept.
    """

    @staticmethod
    def check(spec: PruneSpec, adapter: Adapter) -> None:
        check_choices(spec, adapter.sites(spec.targets))

    @staticmethod
    def parts(estimate: Estimate) -> list[Part]:
        parts: list[Part] = []
        estimate = estimate.shortened
        spec, sites, calibrated = estimate.spec, estimate.sites, estimate.calibrated
        needs = spec.needs.of_model(embeds=estimate.embeds)
        if needs.gradients and not calibrated:
            parts.append(Part("gradients", estimate.gradients(needs)))
        if surveys(spec, calibrated=calibrated):
            has_curves = spec.allocation in CURVE_ALLOCATIONS
            survey = sum(site.scores(spec.importance) + has_curves * site.curve() for site in sites)
            survey += 0.0 if calibrated else estimate.walk(norm_aware=spec.needs.norm_aware)
            parts.append(Part("survey", survey, "walk"))
        prune = sum(site.repair(spec.ratio) for site in sites)
        prune += 0.0 if spec.repairs_by_survey and (calibrated or estimate.keeps) else estimate.walk()
        prune += estimate.drift() if spec.walked == "corrective" else 0.0
        return [*parts, Part("prune", prune, "walk")]

    @staticmethod
    def check_stored(result: RunResult, sites: Sequence[Site]) -> None:
        gone = () if result.spec.reads_dense else removed_layers(result.sites)
        stored_masks(result.sites, [site for site in sites if site.layer not in gone])

    @staticmethod
    def restore(
        result: RunResult, batches: Sequence[Batch], working: LoadedModel, variants: Variants
    ) -> Generator[Progress, None, None]:
        spec, adapter = result.spec, working.adapter
        sites, method = adapter.sites(spec.targets), spec.reconstruction
        masks, pace = stored_masks(result.sites, sites), Pace([Part("restore", 1.0)])
        visits = walk(
            adapter,
            batches,
            spec.targets,
            schedule=spec.walked,
            norm_aware=0,
            coherence={site.name: site.coherence for site in result.sites if site.coherence},
            on_attenuation=lambda factor: variants.attenuate(result.attenuation or factor),
        )
        for done, visit in enumerate(visits, start=1):
            site, consumer = visit.site, adapter.consumer(visit.site)
            decision = decide(
                site,
                masks[site],
                visit.moments.plain,
                consumer.weight.T,
                ("none", method),
                visit.drift,
                intercept=spec.intercept,
            )
            repaired = ConsumerParameters.install_of(consumer, decision.solutions[method])
            _shrink(adapter, visit, decision, repaired, variants)
            del decision, repaired  # before the moments of the next site are gathered
            yield pace.at("restore", "prune", done, len(sites), f"Pruned {site.name} to its stored mask")
        adapter.after_surgery()

    def events(self) -> Events:
        self.edits = merge(self.spec.edits)
        needs = self.spec.needs.of_model(embeds=self.loaded.embeds)
        self.calibration = self.given or self.kept or Calibration({}, has=needs)
        if self.given is None and needs.gradients:
            with self.watch.stage("gradients"):
                steps = gradient_steps(self.adapter, self.batches, self.spec.targets, needs, self.loaded.embedder)
                words = "Computing gradients of the loss"
                self.calibration.gradients.update((yield from self.pace.along("gradients", steps, "calibrate", words)))
        candidates, kept = yield from self._survey()
        if message := share_warning(self.spec, candidates, kept):
            yield self._warn(message)
        yield from self._prune(kept)
        self.adapter.after_surgery()
        del self.calibration

    @property
    def _coherence(self) -> dict[str, float]:
        return coherence_of(self.calibration.gradients)

    # -- allocation ---------------------------------------------------------------------------------------------

    def _survey(self) -> Generator[Event, None, tuple[list[Candidate], dict[str, int]]]:
        """Score all bundles and allocate by the dense model: the candidates, and the kept bundles of each site, by name.

        Without a calibration passed in, that of the run is filled by a walk: with scores, and with moments if the run
        is one-shot and they fit into memory.
        """
        spec = self.spec
        if not surveys(spec, calibrated=self.given is not None):
            candidates = [Candidate(site, self.adapter.bundle_parameters(site)) for site in self.sites]
            return candidates, kept_counts(spec, candidates, self.edits)
        candidates = []
        with self.watch.stage("calibrate"):
            for done, site in enumerate(self._dense_sites(), start=1):
                candidates.append(self.calibration.candidate(spec, site, self.adapter, self.criterion))
                yield self.pace.at("survey", "calibrate", done, len(self.sites), f"Reading {site.name}")
        with self.watch.stage("allocate"):
            return candidates, kept_counts(spec, candidates, self.edits)

    def _dense_sites(self) -> Iterator[Site]:
        """Every site of the dense model, its block on the device and its moments in the calibration."""
        if self.given is not None:
            yield from (visit.site for visit in self._revisit())
            return
        spec = self.spec
        keeps = spec.repairs_by_survey and fits(self.loaded, self.sites, norm_aware=True)
        norm_aware = CURVE_TOKENS * (keeps or spec.allocation == "error-curve")
        for visit in walk(self.adapter, self.batches, spec.targets, norm_aware=norm_aware, coherence=self._coherence):
            self.calibration.moments[visit.site] = visit.moments
            yield visit.site
            if not keeps:
                del self.calibration.moments[visit.site]

    # -- pruning and repair -------------------------------------------------------------------------------------

    def _prune(self, kept: dict[str, int]) -> Events:
        if self.spec.repairs_by_survey and self.calibration.moments:
            visits = self._revisit()
        else:
            scarce = unseen_tokens(self.spec, self.loaded) > 0 and len(self.unseen) >= processes()
            visits = walk(
                self.adapter,
                self.batches,
                self.spec.targets,
                schedule=self.spec.walked,
                norm_aware=CURVE_TOKENS if self.spec.repairs_by_survey else MEAN_TOKENS,
                unseen=self.unseen if scarce else (),
                coherence=self._coherence,
                on_attenuation=self._attenuate,
            )
        with self.watch.stage("prune"):
            for done, visit in enumerate(visits, start=1):
                if done == 1:
                    yield from self._check_tokens(visit.moments.plain.tokens)
                report = self._prune_site(visit, kept[visit.site.name])
                self.reports.append(report)
                yield SiteDone(report, done, len(self.sites))
                yield self.pace.at("prune", "prune", done, len(self.sites), f"Pruned and repaired {visit.site.name}")
        if self.attenuation in _AT_A_BOUND:
            yield self._warn(_AT_A_BOUND[self.attenuation])

    def _attenuate(self, factor: float) -> None:
        self.attenuation = factor
        if self.variants is not None:
            self.variants.attenuate(factor)
        else:
            self.adapter.attenuate(factor)

    def _revisit(self) -> Iterator[Visit]:
        for site in self.sites:
            with resident(self.adapter.layers[site.layer]):
                yield Visit(site, self.calibration.moments[site])

    def _check_tokens(self, tokens: int) -> Events:
        yield Calibrated(tokens)
        widest = max(self.sites, key=lambda site: site.channels)
        enough = FEWEST_PER_CHANNEL * widest.channels
        fitted = REPAIRS[self.spec.reconstruction].fits_noise or self.spec.importance.solves
        if fitted and tokens < enough:
            message = (
                f"{tokens:,} calibration tokens are few for the {widest.channels:,} channels of {widest.name}: below "
                f"{FEWEST_PER_CHANNEL} for each a repair recovers less than it could; take {enough:,} or more."
            )
            yield self._warn(message)

    def _prune_site(self, visit: Visit, count: int) -> SiteReport:
        """Prune and repair the site, by its scores in the dense model."""
        site, moments, calibration = visit.site, visit.moments, self.calibration
        assert moments.norm_aware is not None
        if not surveys(self.spec, calibrated=self.given is not None):
            calibration = replace(calibration, moments={site: moments})
        consumer, method = self.adapter.consumer(site), self.spec.reconstruction
        scores = calibration.scores(self.criterion, site, consumer.weight.T, self.spec.seed).numpy()
        bundles = torch.from_numpy(best_bundles(site, scores, count, self.edits.get(site.name)))
        decision = decide(
            site, bundles, moments.plain, consumer.weight.T, drift=visit.drift, intercept=self.spec.intercept
        )
        repaired = ConsumerParameters.install_of(consumer, decision.solutions[method])
        solutions = decision.solutions | {method: repaired.solution_of(consumer)}
        errors, norm_aware = (decision.errors(each, solutions) for each in (moments.plain, moments.norm_aware))
        exact = decision.errors(moments.plain, {method: decision.solutions[method]})[method]
        _shrink(self.adapter, visit, decision, repaired, self.variants)
        return report_of(site, decision.units, errors, norm_aware, exact, self._coherence.get(site.name))


def _shrink(
    adapter: Adapter, visit: Visit, decision: Decision, repaired: ConsumerParameters, variants: Variants | None
) -> None:
    """Prune and repair the site of ``visit``; ``variants`` receive its consumer without a repair."""
    if variants is not None:
        unrepaired = ConsumerParameters.install_of(adapter.consumer(visit.site), decision.solutions["none"])
        variants.park(visit.site, unrepaired, decision.channels)
    shrink(adapter, visit.site, decision.bundles, repaired)
    visit.kept = decision.channels


def stored_masks(reports: Sequence[SiteReport], sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Kept bundles of each site, ascending; raises :class:`InvalidSpecError` if they do not fit the site."""
    known = {report.name: report for report in reports}
    masks: dict[Site, Tensor] = {}
    for site in sites:
        report = known.get(site.name)
        units = torch.tensor(report.kept_units if report is not None and report.units == site.units else []).long()
        bundles = units[:: site.group] // site.group
        is_legal = len(units) > 0 and bool(units.min() >= 0) and bool(units.max() < site.units)
        if not is_legal or not torch.equal(units_of(site, bundles), units):
            raise InvalidSpecError(
                f"The units that this run kept at {site.name} are not of this model as it is now: run the recipe again."
            )
        masks[site] = bundles
    return masks
