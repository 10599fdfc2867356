"""Patch: an affine map of a consumer's input that replaces the blocks behind it, in closed form.

A run of blocks adds D to the residual stream. If it goes, the consumer before it, whose input is x and whose output is
x W + b, can add a part of that itself: its weight becomes W + B and its bias b + e.

================  =====================  ===================
reconstruction    B                      e
================  =====================  ===================
none              0                      0
bias              0                      mean of D
least-squares     C^-1 cov(x, D)         mean of D - mu B
================  =====================  ===================

ReplaceMe (arXiv 2505.02819) fits a map T of the consumer's output, which is B = W (T - I), without an intercept; x is wider
than that output, so this is at least as close. The ridge on C is that of every fitted repair, see
:func:`liar.maths.solver.ridge_of`, and draws B towards 0. C does not depend on the number of blocks, so that one
factorisation serves the runs of every length behind a consumer.

>>> import torch
>>> from liar.maths.drift import DriftAccumulator
>>> from liar.maths.moments import Moments
>>> from liar.maths.patch import factor_of, patches
>>> x, lost, weight = torch.randn(100, 1, dtype=torch.float64), DriftAccumulator(1, 1, dtype=torch.float64), torch.ones(1, 1)
>>> lost.update(x, 2 * x + 5)
>>> inputs = Moments.of(x)
>>> patch = patches(inputs, lost.finish(), weight, factor=factor_of(inputs, ridge=0.0))["least-squares"]
>>> patch.weight.round(decimals=6).tolist(), patch.bias_change.round(decimals=6).tolist()
([[3.0]], [5.0])
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from liar.choices import Reconstruction
from liar.errors import NonFiniteError
from liar.maths.drift import Drift
from liar.maths.moments import Moments
from liar.maths.reconstruct import Solution
from liar.maths.solver import RIDGE, cholesky, in_solver_precision, ridge_of

PATCHES: tuple[Reconstruction, ...] = ("none", "bias", "least-squares")
"""Reconstructions that whole blocks have."""


def factor_of(inputs: Moments, *, ridge: float = RIDGE, site: str = "the site") -> Tensor:
    """Lower factor (d, d) of C and its ridge, for the moments of a consumer's ``inputs``.

    Raises :class:`SingularSystemError` if it cannot be factorised, :class:`NonFiniteError` if C is not finite.
    """
    C = in_solver_precision(inputs.covariance).clone()
    return cholesky(C, ridge_of(inputs, ridge), site=site, tokens=inputs.tokens)


def patches(
    inputs: Moments,
    lost: Drift,
    weight: Tensor,
    methods: Iterable[Reconstruction] = PATCHES,
    *,
    factor: Tensor | None = None,
    site: str = "the site",
) -> dict[Reconstruction, Solution]:
    """Patches of a consumer of ``weight`` (d, d_out) for what the blocks behind it add, ``lost``.

    ``factor``: result of :func:`factor_of` for these inputs, if it is known; only least-squares reads it. Raises
    :class:`NonFiniteError` if a patch is not finite, ``KeyError`` for a reconstruction that is not one of :data:`PATCHES`, and
    the errors of :func:`factor_of`.
    """
    W, mean = in_solver_precision(weight), in_solver_precision(lost.mean)
    found: dict[Reconstruction, Solution] = {}
    for name in methods:
        if name == "least-squares":
            L = factor_of(inputs, site=site) if factor is None else factor
            B = torch.cholesky_solve(in_solver_precision(lost.cross), L)
            found[name] = Solution(W + B, mean - in_solver_precision(inputs.mean) @ B)
        else:
            found[name] = Solution(W, {"none": torch.zeros_like(mean), "bias": mean}[name])
        if not (torch.isfinite(found[name].weight).all() and torch.isfinite(found[name].bias_change).all()):
            raise NonFiniteError(
                f"The {name} patch at {site} holds NaN or Inf; calibrate in float32 or with more tokens."
            )
    return found
