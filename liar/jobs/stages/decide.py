"""Decision about one site: which bundles stay, the repairs of its consumer, and the errors that are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from liar.choices import Reconstruction
from liar.maths.criteria import channels_of, units_of
from liar.maths.drift import Drift
from liar.maths.moments import Moments
from liar.maths.reconstruct import Solution, reconstruct_all
from liar.maths.relative_errors import relative_errors
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS


@dataclass(frozen=True, slots=True)
class Decision:
    """Kept ``bundles`` and ``channels`` of a site, both ascending, and a solution for each reconstruction."""

    site: Site
    weight: Tensor
    bundles: Tensor
    channels: Tensor
    solutions: dict[Reconstruction, Solution]

    @property
    def units(self) -> list[int]:
        """Kept neurons or query heads, ascending."""
        return units_of(self.site, self.bundles).tolist()

    @torch.no_grad()
    def errors(self, moments: Moments, solutions: Mapping[Reconstruction, Solution]) -> dict[Reconstruction, float]:
        """E|Y'-Y|^2 / E|Y|^2 of each of ``solutions``, those of the decision or as they are installed, on ``moments``."""
        return relative_errors(moments, self.weight, self.channels, solutions)


@torch.no_grad()
def decide(
    site: Site,
    bundles: Tensor,
    moments: Moments,
    weight: Tensor,
    reconstructions: Iterable[Reconstruction] = RECONSTRUCTIONS,
    drift: Drift | None = None,
    *,
    intercept: bool = True,
) -> Decision:
    """Keep ``bundles`` (ascending) and solve the repairs of the consumer's ``weight`` (d, d_out).

    What is installed of least-squares compensates the ``drift`` too, and without ``intercept`` changes no bias. Raises
    :class:`liar.errors.NonFiniteError` and :class:`liar.errors.CalibrationError`, which name the site.
    """
    channels = channels_of(site, bundles).to(weight.device)
    solved = partial(reconstruct_all, weight=weight, kept=channels, bundle_size=site.bundle_size, site=site.name)
    solutions = solved(moments, methods=reconstructions, drift=drift)
    if not intercept and "least-squares" in solutions:  # bias and liar are what they are, for the errors beside it
        about_zero = drift and drift.about_zero(moments.mean)
        solutions |= solved(moments.about_zero, methods=["least-squares"], drift=about_zero)
    return Decision(site, weight, bundles, channels, solutions)
