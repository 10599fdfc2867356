"""The linear systems of every repair: their precision and device, their ridge, and their Cholesky factors."""

from __future__ import annotations

import torch
from torch import Tensor

from liar.errors import NonFiniteError, SingularSystemError
from liar.maths.moments import Moments

RIDGE = 0.5
"""c of the ridge where text is not scarce.

On tokens that no moment has seen the error falls until c is 1 to 2, in both families and with any amount of text
(``benchmarks/ridge.py``), but with much of it most is gained at 0.5, and classifiers lose accuracy above it."""

_ENOUGH = 6
"""Tokens for each channel below which text is scarce."""
_MOST_GROWTH = 4.0
"""Largest factor of c, reached at half of that."""

_LEAST_VARIANCE = 1e-6
"""Share of the mean variance below which the ridge takes no variance to be, so that a constant channel has one too."""

_JITTER_STEPS = 6


def on_solver_device(tensor: Tensor) -> Tensor:
    """``tensor`` on a device that supports factorisations: its own, or the CPU instead of MPS, which lacks several."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def in_solver_precision(tensor: Tensor) -> Tensor:
    """Result of :func:`on_solver_device` in fp64. The move comes before the cast, since MPS has no fp64."""
    return on_solver_device(tensor).double()


def ridge_share(moments: Moments, ridge: float = RIDGE) -> float:
    """The share of each channel's variance that the ridge adds to it: c d / tokens.

    If the model answers at every token, a smaller mean error of them all is a smaller loss, so c grows with the square of
    what is missing where text is scarce. A classifier reads few of its tokens, and loses accuracy by it.
    """
    scarcity = len(moments.mean) / moments.tokens
    growth = min(_MOST_GROWTH, max(1.0, (_ENOUGH * scarcity) ** 2)) if moments.all_answer else 1.0
    return ridge * growth * scarcity


def ridge_of(moments: Moments, ridge: float = RIDGE) -> Tensor:
    """The ridge r_j = c (d / tokens) C_jj of each channel, (d,) fp64 on the solver's device; c as in :func:`ridge_share`.

    Sampling errors of a covariance grow with d / tokens, and with the variances of its channels: a ridge in these units
    is neither too small with little text nor, at a site with massive activations, too large for the other channels.
    """
    variances = in_solver_precision(moments.covariance.diagonal())
    least = _LEAST_VARIANCE * variances.mean()
    return variances.clamp_min(least) * ridge_share(moments, ridge)


def cholesky(matrix: Tensor, ridge: Tensor | None, *, site: str, tokens: int) -> Tensor:
    """Lower factor of ``matrix + diag ridge``, with a jitter that grows until it succeeds; overwrites ``matrix``.

    Raises :class:`SingularSystemError` if it never succeeds, :class:`NonFiniteError` if ``matrix`` is not finite.
    """
    diagonal = matrix.diagonal()
    if not torch.isfinite(diagonal).all():
        raise NonFiniteError(f"The covariance at {site} holds NaN or Inf; calibrate in float32 or with other text.")
    if ridge is not None:
        diagonal += ridge
    jitter = max(float(diagonal.mean()), 1e-30) * torch.finfo(matrix.dtype).eps * 10
    for _ in range(_JITTER_STEPS):
        result = torch.linalg.cholesky_ex(matrix)
        if int(result.info) == 0:
            factor: Tensor = result.L
            return factor
        diagonal += jitter
        jitter *= 100
    raise SingularSystemError(
        f"The covariance at {site} cannot be factorised after {tokens:,} tokens; calibrate with more tokens, or use the "
        "reconstruction 'bias'."
    )
