"""Restore the models of a finished run: take the masks from its result, and solve only the repairs again.

This takes one forward pass over the calibration text; there is no scoring, allocation, evaluation or backward pass.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from liar.calibration.activations import Visit, walk
from liar.calibration.block_statistics import spans
from liar.errors import InvalidSpecError
from liar.events import Progress
from liar.jobs.decide import solve
from liar.jobs.layer_removal import cut
from liar.jobs.read_text import read_text
from liar.maths.criteria import units_of
from liar.models.loaded import LoadedModel, working_copy
from liar.models.surgery import ConsumerParameters, shrink
from liar.models.variants import Variants
from liar.progress import Pace, Part
from liar.results import RunResult, SiteReport
from liar.runtime.environment import readable_failures
from liar.runtime.memory import PlannedWork
from liar.sites import Site


def restore_steps(result: RunResult, loaded: LoadedModel) -> Generator[Progress, None, Variants]:
    """Prune a copy of ``loaded``, the dense model of ``result``, to the units kept there; return its variants.

    On a CPU of the same kind the weights equal those of the run bit for bit. Closing the generator between two steps
    stops it. Raises :class:`InvalidSpecError` for a streamed model or if the stored masks do not fit this model, and
    the errors of a run's calibration.
    """
    with readable_failures():
        spec = result.spec
        working = working_copy(loaded, replace(PlannedWork.of(spec), gradients=False))
        sites = working.adapter.sites(spec.targets)
        gone = _removed_blocks(result, sites)
        masks = {} if spec.removes_layers else _masks(result.sites, sites)
        yield Progress("calibrate", 0, len(sites), f"Reading the calibration text for {spec.model}")
        batches, _ = yield from read_text(spec, working)
        variants = Variants(working, loaded)
        if spec.removes_layers:
            if gone:
                span = next(spans(working.adapter, batches, [len(gone)], before=gone.start - 1))
                cut(working.adapter, span, spec.reconstruction, (), variants)
            return variants
        pace = Pace([Part("restore", 1.0)])
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
        return variants


def _removed_blocks(result: RunResult, sites: Sequence[Site]) -> range:
    """Blocks that the run removed whole; raises :class:`InvalidSpecError` if the model has other sites now."""
    if not result.spec.removes_layers:
        return range(0)
    if [(site.name, site.units) for site in sites] != [(report.name, report.units) for report in result.sites]:
        raise InvalidSpecError("The layers of this run are not those of the model as it is now: run the recipe again.")
    gone = sorted({report.layer for report in result.sites if report.kept == 0})
    return range(gone[0], gone[-1] + 1) if gone else range(0)


def _masks(reports: Sequence[SiteReport], sites: Sequence[Site]) -> dict[Site, Tensor]:
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
