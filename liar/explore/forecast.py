"""Forecast: the expected result of a run, read from an atlas. No model, no forward pass, a few milliseconds.

The forecast is that of a one-shot run on the moments of the atlas. A measured run may differ (sequential moments, a
curve interpolated between two points); the page shows both side by side. If units chosen by hand are not the best ones,
a site has only the errors that the atlas stores for every choice, often none. Norm-aware errors are those of a repair
fitted with norm-aware weights, as in the allocation; a run fits with plain ones, so its own are slightly higher.

>>> from pathlib import Path
>>> from liar.explore.atlas_store import AtlasStore
>>> from liar.explore.forecast import every_criterion, forecast
>>> from liar.spec import PruneSpec
>>> spec = PruneSpec(ratio=0.5)
>>> expected = forecast(spec, AtlasStore(Path("atlases")).find(spec))
>>> expected.sites[0].name, expected.totals.parameters_after < expected.totals.parameters_before
('layers.0.ffn', True)
>>> found = every_criterion(spec, AtlasStore(Path("atlases")).find(spec), (0.2, 0.4))
>>> found["obs"][0.2].error < found["obs"][0.4].error
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from liar.choices import REPAIRS, Reconstruction
from liar.edits import merge
from liar.errors import EmptySiteError, InvalidSpecError
from liar.explore.allocation import Candidate, best_bundles, check_choices, check_units, kept_counts
from liar.explore.atlas import WEIGHTINGS, Atlas, SiteAtlas, Weighting
from liar.results import SiteReport, Totals
from liar.sites import Site
from liar.spec import LEFT_OUT, PruneSpec, is_custom

RATIOS = tuple(percent / 100 for percent in range(5, 96, 5))
"""Ratios at which criteria are compared."""

_ALLOCATING: dict[str, Weighting] = {"error-curve": "norm-aware", "loss-curve": "plain"}


@dataclass(frozen=True, slots=True)
class Forecast:
    """Sites as a run would report them, the parameters that it would leave, and the nats of KL(dense || pruned) by the curves,
    None without sensitivities.

    ``runs`` are the ratios of the measured runs that the errors were made to agree with, see
    :func:`liar.report.interpolation.carried`; empty for the curves alone.
    """

    spec: PruneSpec
    sites: list[SiteReport]
    totals: Totals
    divergence: float | None
    runs: tuple[float, ...] = ()

    @property
    def is_between(self) -> bool:
        """Whether it lies between two measured runs, or between the dense model and one."""
        return any(ratio > self.spec.ratio for ratio in self.runs)


def forecast(spec: PruneSpec, atlas: Atlas) -> Forecast:
    """Predict the result of ``spec``. Raises :class:`InvalidSpecError` for choices that the atlas does not cover, and
    :class:`EmptySiteError` for a ratio that would leave a site without units.
    """
    if is_custom(spec.criterion):
        raise InvalidSpecError(
            f"{spec.criterion} is a function of one program, which alone can run it; choose another criterion here."
        )
    if spec.criterion not in atlas.facts.criteria:
        raise InvalidSpecError(f"No curves of {spec.criterion} are at hand; apply the recipe to see it.")
    check_covered(spec, atlas)
    charts = targeted(atlas, spec)
    sites = [chart.site for chart in charts]
    edits = merge(spec.edits)
    check_choices(spec, sites)
    counts = kept_counts(spec, [candidate_of(chart, spec) for chart in charts], edits)
    # One repaired site gives biases to all modules of its kind; a kind that keeps all units gets none.
    shifts = REPAIRS[spec.reconstruction].changes_bias
    cut = {site.kind for site in sites if counts[site.name] < site.bundles and shifts}
    reports: list[SiteReport] = []
    change = 0
    for chart in charts:
        site, count = chart.site, counts[chart.site.name]
        minus_rank = -np.argsort(chart.order(spec.criterion)).astype(np.float64)
        bundles = best_bundles(site, minus_rank, count, edits.get(site.name))
        units = (bundles[:, None] * site.group + np.arange(site.group)).ravel()
        plain, aware = (chart.errors_of(spec.criterion, bundles.tolist(), weighting) for weighting in WEIGHTINGS)
        reports.append(report_of(site, units.tolist(), plain, aware))
        change -= (site.bundles - count) * chart.facts.bundle_parameters
        if site.kind in cut:
            change += chart.facts.bias_fixed + count * chart.facts.bias_per_bundle
    before, blocks = atlas.facts.model.parameters, atlas.facts.block_parameters
    totals = Totals(
        parameters_before=before,
        parameters_after=before + change,
        block_parameters_before=blocks,
        block_parameters_after=blocks + change,
    )
    return Forecast(spec, reports, totals, divergence(by_loss(spec, charts), counts) if atlas.facts.sensitive else None)


def is_covered(spec: PruneSpec, atlas: Atlas) -> bool:
    """Whether ``atlas`` forecasts ``spec``."""
    with suppress(InvalidSpecError):
        forecast(spec, atlas)
        return True
    return False


def report_of(
    site: Site,
    kept: Sequence[int],
    error: dict[Reconstruction, float],
    norm_aware: dict[Reconstruction, float],
    uncorrected: float | None = None,
    coherence: float | None = None,
) -> SiteReport:
    """What a run or a forecast reports of a site of which the units ``kept`` stay."""
    return SiteReport(
        name=site.name,
        layer=site.dense_layer,
        kind=site.kind,
        units=site.units,
        kept=len(kept),
        kept_units=list(kept),
        error=error,
        norm_aware_error=norm_aware,
        uncorrected_error=uncorrected,
        coherence=coherence,
    )


def check_covered(spec: PruneSpec, atlas: Atlas) -> None:
    """Raise :class:`InvalidSpecError` if the atlas has no curves for the targets, the reconstruction or the allocation of
    ``spec``, or for repairs without an intercept.
    """
    check_units(spec)
    if not spec.intercept:
        raise InvalidSpecError("Curves are of repairs with an intercept; apply the recipe to see it without.")
    if spec.targets in ("heads", "both") and "attention" not in atlas.facts.kinds:
        raise InvalidSpecError("The heads of this model cannot go; choose neurons.")
    if spec.reconstruction not in atlas.facts.reconstructions:
        raise InvalidSpecError(f"No curves of {spec.reconstruction} are at hand; apply the recipe to see it.")
    if spec.needs.sensitivity and not atlas.facts.sensitive:
        raise InvalidSpecError(f"No curves for {spec.allocation} are at hand; choose another allocation.")


def divergence(candidates: Iterable[Candidate], kept: Mapping[str, int]) -> float:
    """Nats of KL(dense || pruned) that the curves of loss-curve predict: half the sum over sites of sensitivity x E|error|^2.

    ``kept`` bundles of each site, by name.
    """
    damages = (c.damage[kept[c.site.name]] for c in candidates if c.damage is not None)
    return sum(map(float, damages)) / 2


@dataclass(frozen=True, slots=True)
class Loss:
    """What is predicted at one ratio: the mean of the sites' errors, and nats of KL(dense || pruned), None if unknown."""

    error: float
    divergence: float | None


def every_criterion(
    spec: PruneSpec, atlas: Atlas, ratios: Sequence[float] = RATIOS
) -> Mapping[str, Mapping[float, Loss]]:
    """What ``spec`` would lose if another criterion chose its units: by criterion and ratio, without ratios that would leave a
    site without units.

    Equal to :func:`forecast` of each of these recipes, but without its reports: an allocation each. Of edits by hand it reads
    how many units a site keeps, not which. Raises :class:`InvalidSpecError` if the atlas has no curves for the reconstruction
    or the allocation.
    """
    check_covered(spec, atlas)
    edits, charts = merge(spec.edits), targeted(atlas, spec)
    found: dict[str, dict[float, Loss]] = {}
    for criterion in atlas.facts.criteria:
        chosen = spec.model_copy(update={"criterion": criterion})
        candidates = [candidate_of(chart, chosen) for chart in charts]
        damages = by_loss(chosen, charts)
        losses = found.setdefault(criterion, {})
        for ratio in ratios:
            with suppress(EmptySiteError):
                kept = kept_counts(spec.model_copy(update={"ratio": ratio}), candidates, edits)
                error = fmean(chart.error_at(criterion, spec.reconstruction, kept[chart.site.name]) for chart in charts)
                losses[ratio] = Loss(error, divergence(damages, kept) if atlas.facts.sensitive else None)
    return found


def targeted(atlas: Atlas, spec: PruneSpec) -> list[SiteAtlas]:
    """The sites that ``spec`` prunes."""
    return [chart for chart in atlas.sites if chart.site.kind != LEFT_OUT.get(spec.targets)]


def by_loss(spec: PruneSpec, charts: Sequence[SiteAtlas]) -> list[Candidate]:
    """What the allocation loss-curve would compare of the sites of ``spec``."""
    return [candidate_of(chart, spec.model_copy(update={"allocation": "loss-curve"})) for chart in charts]


def candidate_of(chart: SiteAtlas, spec: PruneSpec) -> Candidate:
    """What the allocation of ``spec`` compares of a site."""
    scores = np.empty(chart.site.bundles)
    scores[chart.order(spec.criterion)] = chart.scores(spec.criterion)
    damage = None
    if weighting := _ALLOCATING.get(spec.allocation):
        damage = chart.damage(spec.criterion, spec.reconstruction, weighting)
        if spec.needs.sensitivity:
            damage = damage * chart.sensitivity
    return Candidate(chart.site, chart.facts.bundle_parameters, scores, damage, chart.deviation(spec.criterion))
