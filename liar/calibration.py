"""Calibrate once, ask many questions: moments and mask gradients of the dense model, and the curves read off them.

Moments know nothing of the criterion, so one calibration serves every criterion, ratio and reconstruction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from liar.allocation import nearest_removed
from liar.criteria import Evidence, order_of, score
from liar.data.corpora import calibration_batches
from liar.environment import readable_failures
from liar.error_curves import error_curves
from liar.errors import InvalidSpecError
from liar.gradients import SiteGradients, Steps, gradient_steps
from liar.models.adapter import Site
from liar.models.catalog import LoadedModel
from liar.models.offload import resident
from liar.moments import SiteMoments
from liar.results import SiteCurves
from liar.spec import AUTO, GRADIENT_CRITERIA, Criterion, Targets
from liar.walk import walk

RATIOS = tuple(percent / 100 for percent in range(101))
"""Where curves are read: the share of a site's units removed."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the text told about the dense model; all tensors stay on the device that measured them."""

    moments: dict[Site, SiteMoments]
    gradients: dict[str, SiteGradients] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return next(iter(self.moments.values())).plain.tokens


def calibrate(
    loaded: LoadedModel,
    source: str = AUTO,
    *,
    tokens: int = 12_288,
    sequence_length: int = 256,
    seed: int = 0,
    targets: Targets = "both",
    gradients: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """One forward of the calibration text (and one backward when ``gradients`` are wanted).

    ``source`` is ``auto``, ``wiki``, ``sentiment``, ``topic``, a file, or a Hub dataset. Raises
    :class:`CalibrationError` for unusable text and :class:`NonFiniteError` for NaN or Inf in weights or activations.
    """
    with readable_failures():
        batches = calibration_batches(source, loaded, tokens, sequence_length, seed)
        sites = loaded.adapter.sites(targets)
        moments: dict[Site, SiteMoments] = {}
        for done, visit in enumerate(walk(loaded.adapter, batches, targets), start=1):
            moments[visit.site] = visit.moments
            if on_progress is not None:
                on_progress(done, len(sites))
        found = _drain(gradient_steps(loaded.adapter, batches, targets)) if gradients else {}
        return Calibration(moments, found)


def _drain(steps: Steps) -> dict[str, SiteGradients]:
    """Run to the end without watching."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            gradients: dict[str, SiteGradients] = stop.value
            return gradients


@torch.no_grad()
def curves(
    loaded: LoadedModel,
    calibration: Calibration,
    criteria: Sequence[Criterion] = ("fluctuation",),
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[SiteCurves]:
    """Error of every site at the ratios of :data:`RATIOS`, for each criterion and reconstruction.

    Raises :class:`InvalidSpecError` when taylor or fisher are asked of a calibration without gradients.
    """
    if GRADIENT_CRITERIA.intersection(criteria) and not calibration.gradients:
        raise InvalidSpecError("taylor and fisher need mask gradients; calibrate with gradients=True.")
    found: list[SiteCurves] = []
    for done, (site, moments) in enumerate(calibration.moments.items(), start=1):
        with resident(loaded.adapter.layers[site.layer]):
            weight = loaded.adapter.consumer(site).weight.T
            for criterion in criteria:
                gradients = calibration.gradients.get(site.name)
                start = time.perf_counter()
                order = order_of(score(criterion, Evidence(site, moments.plain, weight, seed, gradients)))
                ordered = time.perf_counter()
                plain = error_curves(moments.plain, weight, order, bundle_size=site.bundle_size, site=site.name)
                solved = time.perf_counter()
                kept = [site.bundles - nearest_removed(site.bundles, ratio) for ratio in RATIOS]
                found.append(
                    SiteCurves(
                        name=site.name,
                        layer=site.layer,
                        kind=site.kind,
                        units=site.units,
                        criterion=criterion,
                        kept=[count * site.group for count in kept],
                        error={name: curve[kept].tolist() for name, curve in plain.error.items()},
                        seconds={"order": ordered - start, "curves": solved - ordered},
                    )
                )
        if on_progress is not None:
            on_progress(done, len(calibration.moments))
    return found
