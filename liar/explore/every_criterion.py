"""Every criterion over the ratio, read from an atlas: what a recipe would lose if another criterion chose its units.

Equal to :func:`liar.explore.forecast.forecast` of each of these recipes, but without its reports: an allocation each.

>>> from pathlib import Path
>>> from liar.explore.atlas_store import AtlasStore
>>> from liar.explore.every_criterion import every_criterion
>>> from liar.spec import PruneSpec
>>> spec = PruneSpec()
>>> found = every_criterion(spec, AtlasStore(Path("atlases")).find(spec), (0.2, 0.4))
>>> found["obs"][0.2].error < found["obs"][0.4].error
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from liar.edits import merge
from liar.errors import EmptySiteError
from liar.explore.allocation import allocate, settled_counts
from liar.explore.atlas import Atlas
from liar.explore.forecast import candidate_of, check_covered, targeted
from liar.spec import PruneSpec

RATIOS = tuple(percent / 100 for percent in range(5, 96, 5))


@dataclass(frozen=True, slots=True)
class Loss:
    """What is predicted at one ratio: the mean of the sites' errors, and nats of KL(dense || pruned), None if unknown."""

    error: float
    divergence: float | None


def every_criterion(
    spec: PruneSpec, atlas: Atlas, ratios: Sequence[float] = RATIOS
) -> Mapping[str, Mapping[float, Loss]]:
    """Predicted losses of ``spec`` by criterion and ratio; a ratio that would leave a site without units is left out.

    Of edits by hand it reads how many units a site keeps, not which. Raises :class:`liar.errors.InvalidSpecError` if the
    atlas has no curves for the reconstruction or the allocation.
    """
    check_covered(spec, atlas)
    edits, charts, known = merge(spec.edits), targeted(atlas, spec), atlas.facts.sensitive
    sites = [chart.site for chart in charts]
    found: dict[str, dict[float, Loss]] = {}
    for criterion in atlas.facts.criteria:
        chosen = spec.model_copy(update={"criterion": criterion})
        candidates = [candidate_of(chart, chosen) for chart in charts]
        damages = [chart.damage(criterion, spec.reconstruction, "plain") * chart.sensitivity for chart in charts]
        losses = found.setdefault(criterion, {})
        for ratio in ratios:
            with suppress(EmptySiteError):
                allocated = allocate(spec.allocation, candidates, ratio)
                counts = settled_counts(spec, sites, allocated, edits)
                kept = [counts[site.name] for site in sites]
                errors = [
                    chart.error_at(criterion, spec.reconstruction, k) for chart, k in zip(charts, kept, strict=True)
                ]
                damage = sum(float(damage[k]) for damage, k in zip(damages, kept, strict=True)) / 2
                losses[ratio] = Loss(fmean(errors), damage if known else None)
    return found
