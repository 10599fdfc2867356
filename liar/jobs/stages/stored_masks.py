"""Masks of a stored run: pruning a model to the units that the run kept, with the repairs solved again."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from liar.calibration.activations import Visit, walk
from liar.errors import InvalidSpecError
from liar.events import Progress
from liar.jobs.stages.decide import solve
from liar.maths.criteria import units_of
from liar.models.loaded import LoadedModel
from liar.models.surgery import ConsumerParameters, shrink
from liar.models.variants import Variants
from liar.progress import Pace, Part
from liar.results import RunResult, SiteReport
from liar.runtime.devices import Batch
from liar.sites import Site


def restoring_steps(
    result: RunResult, batches: Sequence[Batch], working: LoadedModel, variants: Variants
) -> Generator[Progress, None, None]:
    """Prune ``working`` to the units kept in ``result`` and repair it; ``variants`` receive what is not repaired."""
    spec, sites = result.spec, working.adapter.sites(result.spec.targets)
    masks, pace = stored_masks(result.sites, sites), Pace([Part("restore", 1.0)])
    visits = walk(
        working.adapter,
        batches,
        spec.targets,
        schedule=spec.walked,
        norm_aware=0,
        on_attenuation=lambda factor: variants.attenuate(result.attenuation or factor),
    )
    for done, visit in enumerate(visits, start=1):
        _prune(result, working, variants, visit, masks[visit.site])
        yield pace.at("restore", "prune", done, len(sites), f"Pruned {visit.site.name} to its stored mask")
    working.adapter.after_surgery(sites)


def stored_masks(reports: Sequence[SiteReport], sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Kept bundles of each site, ascending; raises :class:`InvalidSpecError` if they do not fit the site."""
    known = {report.name: report for report in reports}
    masks: dict[Site, Tensor] = {}
    for site in sites:
        report = known.get(site.name)
        units = torch.tensor(report.kept_units if report is not None and report.units == site.units else [])
        bundles = units[:: site.group].long() // site.group
        if not len(units) or units.min() < 0 or units.max() >= site.units or not _same(units_of(site, bundles), units):
            raise InvalidSpecError(
                f"The units that this run kept at {site.name} are not of this model as it is now: run the recipe again."
            )
        masks[site] = bundles
    return masks


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first, second.to(first.dtype))


@torch.no_grad()
def _prune(result: RunResult, working: LoadedModel, variants: Variants, visit: Visit, bundles: Tensor) -> None:
    """Prune and repair the site of ``visit`` as the run did, and park its unrepaired consumer in ``variants``."""
    consumer, method = working.adapter.consumer(visit.site), result.spec.reconstruction
    decision = solve(visit.site, bundles, visit.moments.plain, consumer.weight.T, ("none", method), visit.drift)
    variants.park(visit.site, ConsumerParameters.install_of(consumer, decision.solutions["none"]))
    shrink(working.adapter, visit.site, bundles, ConsumerParameters.install_of(consumer, decision.solutions[method]))
    visit.kept, visit.whole = decision.channels, decision.is_whole
