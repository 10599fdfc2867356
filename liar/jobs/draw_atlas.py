"""Draw an atlas: one backward and one forward pass over the calibration text, and all curves computed from them.

Each site's moments are dropped as soon as its curves are drawn, so memory is that of one block for any model.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from liar.calibration.activations import Visit, walk
from liar.calibration.calibrate import coherence_of, read_text
from liar.calibration.gradients import gradient_steps
from liar.calibration.sample import CURVE_TOKENS
from liar.choices import IMPORTANCE, Criterion
from liar.errors import InvalidSpecError
from liar.evaluate.prepared_task import settle_calibration
from liar.events import Event
from liar.explore.allocation import nearest_removed
from liar.explore.atlas import RATIOS, WEIGHTINGS, Atlas, AtlasFacts, AtlasKey, KindArrays, KindFacts
from liar.jobs.estimates import Estimate
from liar.jobs.plan import atlas_parts
from liar.maths.choice_errors import CHOICE_RECONSTRUCTIONS, choice_errors, has_few_choices
from liar.maths.criteria import Evidence, SiteGradients, deviation, order_of, score
from liar.maths.error_curves import error_curves
from liar.maths.moments import Moments
from liar.maths.solver import in_solver_precision, ridge_share
from liar.models.adapter import Adapter
from liar.models.loaded import LoadedModel, model_info, parameter_count
from liar.models.skeleton import biased_together
from liar.progress import Pace
from liar.runtime.environment import describe, readable_failures
from liar.sites import Site
from liar.spec import CRITERIA, RECONSTRUCTIONS, Needs, PruneSpec, SiteKind

_SPECTRUM = 96
_SAMPLE = 48


def atlas_steps(
    loaded: LoadedModel, spec: PruneSpec, criteria: Sequence[Criterion] = CRITERIA
) -> Generator[Event, None, Atlas]:
    """Draw the atlas of ``spec``'s calibration of ``loaded``: yield progress, return the atlas.

    Criteria and sensitivities that need a backward pass are left out if
    :func:`liar.calibration.gradients.gradient_steps` refuses the model, for example one that is streamed or has no head
    to take a loss from. Raises the errors of :func:`liar.calibration.calibrate.calibrate`.
    """
    start = time.perf_counter()
    with readable_failures():
        adapter = loaded.adapter
        settle_calibration(loaded, spec)
        batches, *_ = yield from read_text(spec, loaded)
        gradients: dict[str, SiteGradients] = {}
        estimate = Estimate.of(spec.model_copy(update={"targets": adapter.prunable}), loaded, batches)
        pace = Pace(atlas_parts(criteria, estimate))
        try:
            needs = Needs(masks=True, outputs=True, sensitivity=True)
            steps = gradient_steps(adapter, batches, adapter.prunable, needs, loaded.embedder)
            gradients = yield from pace.along("gradients", steps, "calibrate", "Computing gradients of the loss")
        except InvalidSpecError:
            criteria = [name for name in criteria if IMPORTANCE[name].gradients is None]
            pace = Pace(atlas_parts(criteria, estimate))
        facts = kind_facts(adapter)
        drawn: dict[SiteKind, list[KindArrays]] = {kind: [] for kind in facts}
        sites = adapter.sites()
        tokens = 0
        alike = coherence_of(gradients)
        visits = walk(adapter, batches, adapter.prunable, norm_aware=CURVE_TOKENS, coherence=alike)
        for done, visit in enumerate(visits, start=1):
            tokens = visit.moments.plain.tokens
            weight = adapter.consumer(visit.site).weight.T
            found = gradients.get(visit.site.name)
            drawn[visit.site.kind].append(_arrays(visit, weight, found, criteria, spec.seed))
            yield pace.at("curves", "calibrate", done, len(sites), f"Drawing the curves of {visit.site.name}")
        return Atlas(
            AtlasFacts(
                key=AtlasKey.of(spec),
                model=model_info(loaded),
                block_parameters=parameter_count(adapter.layers),
                criteria=list(criteria),
                reconstructions=list(RECONSTRUCTIONS),
                choice_reconstructions=list(CHOICE_RECONSTRUCTIONS),
                sensitive=bool(gradients),
                kinds=facts,
                tokens=tokens,
                seconds=time.perf_counter() - start,
                environment=describe(loaded.model),
                windows=loaded.windows,
                cached=loaded.cached,
                loses_layers=adapter.loses_blocks,
            ),
            {kind: KindArrays.stacked(sites) for kind, sites in drawn.items()},
        )


def kind_facts(adapter: Adapter) -> dict[SiteKind, KindFacts]:
    """What all sites of one kind have in common, by kind."""
    found: dict[SiteKind, KindFacts] = {}
    names = {module: name for name, module in cast(nn.Module, adapter.model).named_modules()}
    for site in adapter.sites()[: len(adapter.order)]:  # those of the first block
        consumer = adapter.consumer(site)
        filled = biased_together(adapter, site.kind)
        lacking = [item.rows for item in adapter.producers(site) if names[item.module] in filled]
        repaired = consumer.bias is None
        found[site.kind] = KindFacts(
            units=site.units,
            unit_size=site.unit_size,
            group=site.group,
            bundle_parameters=adapter.bundle_parameters(site),
            bias_fixed=consumer.out_features if repaired else 0,
            bias_per_bundle=sum(lacking),
            outputs=consumer.out_features,
            layers=list(range(len(adapter.layers))),
        )
    return found


@torch.no_grad()
def _arrays(
    visit: Visit, weight: Tensor, gradients: SiteGradients | None, criteria: Sequence[Criterion], seed: int
) -> KindArrays:
    site, moments = visit.site, visit.moments
    assert moments.norm_aware is not None
    weighted = (moments.plain, moments.norm_aware)  # in the order of WEIGHTINGS
    kept = [site.bundles - nearest_removed(site.bundles, ratio) for ratio in RATIOS]
    order = np.empty((len(criteria), site.bundles), np.uint16 if site.bundles <= 65_536 else np.uint32)
    scores = np.empty(order.shape, np.float32)
    deviations = np.empty(len(criteria))
    error = np.empty((len(criteria), len(WEIGHTINGS), len(RECONSTRUCTIONS), len(RATIOS)), np.float32)
    energy = np.empty(len(WEIGHTINGS))
    for i, criterion in enumerate(criteria):
        evidence = Evidence(site, moments.plain, weight, seed, gradients)
        found = score(criterion, evidence)
        deviations[i] = deviation(criterion, evidence, found)
        best_first = order_of(found)
        order[i], scores[i] = best_first.numpy(), found[best_first].numpy()
        for j, chosen in enumerate(weighted):
            curves = error_curves(chosen, weight, best_first, bundle_size=site.bundle_size, site=site.name)
            energy[j] = curves.energy
            for k, name in enumerate(RECONSTRUCTIONS):
                error[i, j, k] = curves.error[name][kept].numpy()
    few = has_few_choices(site)
    choices = np.empty((len(WEIGHTINGS), len(CHOICE_RECONSTRUCTIONS), 2**site.bundles if few else 0), np.float16)
    for j, chosen in enumerate(weighted if few else ()):
        errors = choice_errors(chosen, weight, site.bundle_size)
        choices[j] = torch.stack([errors[name] for name in CHOICE_RECONSTRUCTIONS]).cpu().numpy()
    spectrum, condition = _spectrum(moments.plain)
    sample, correlation = _correlation(site, moments.plain)
    return KindArrays(
        order=order,
        scores=scores,
        deviation=deviations,
        error=error,
        choices=choices,
        energy=energy,
        sensitivity=np.asarray(gradients.sensitivity * visit.moments.plain.of_token if gradients else 0.0),
        spectrum=spectrum,
        condition=np.asarray(condition),
        sample=sample,
        correlation=correlation,
    )


def _spectrum(moments: Moments) -> tuple[np.ndarray, float]:
    """Eigenvalues of the correlation matrix, largest first, evenly sampled by rank; and its condition number with the ridge.

    The ridge is proportional to the channels' variances, so it is the same for all channels scaled to variance 1.
    """
    values = torch.linalg.eigvalsh(_correlations(in_solver_precision(moments.covariance))).flip(0).clamp_min(0)
    ridge = ridge_share(moments)
    condition = float((values[0] + ridge) / (values[-1] + ridge))
    ranks = _evenly(len(values), _SPECTRUM)
    return values[ranks].cpu().numpy().astype(np.float32), condition


def _correlation(site: Site, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced channels and the correlations between them, which are 0 for a channel of zero variance."""
    channels = _evenly(site.channels, _SAMPLE)
    correlation = _correlations(moments.covariance[channels][:, channels].cpu().double()).clamp(-1, 1)
    return channels.numpy().astype(np.int32), correlation.numpy().astype(np.float16)


def _correlations(covariance: Tensor) -> Tensor:
    deviation = covariance.diagonal().clamp_min(torch.finfo(covariance.dtype).tiny).sqrt()
    return covariance / torch.outer(deviation, deviation)


def _evenly(size: int, most: int) -> Tensor:
    """At most ``most`` different, evenly spaced indices of ``range(size)``, first and last included."""
    return torch.linspace(0, size - 1, min(size, most), dtype=torch.float64).round().long()
