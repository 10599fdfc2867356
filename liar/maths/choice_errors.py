"""Error of every choice of bundles at a site with few bundles; error curves follow one order of the bundles only.

With u the kept and m the removed channels, A = C + diag r and K = W W^T:

* bias: tr(C_mm K_mm), and none the same with C + mu mu^T: sums over pairs of removed bundles;
* scale: for G and R as in :mod:`liar.maths.error_curves`, 1^T G 1 + 1^T R_u - q_u^T (G + diag R)_uu^-1 q_u, q = G 1 + R;
* least-squares: the residual of regressing all outputs on X_u, tr(W^T A W) - tr(A_uu^-1 (A K A)_uu) - sum_m r_j K_jj.

For the first bundles of an order the errors equal those of :mod:`liar.maths.error_curves`. One binary tree gives all
traces: a kept bundle is swept out of A and A K A, a removed one is only dropped, so most of its matrices are small.
The reconstruction liar is left out: it needs the row space of each W_u.

>>> import torch
>>> from liar.maths.choice_errors import choice_errors
>>> from liar.maths.moments import Moments
>>> moments = Moments.of(torch.randn(100, 4, dtype=torch.float64))
>>> errors = choice_errors(moments, torch.randn(4, 2, dtype=torch.float64), bundle_size=2)
>>> errors["none"][0b00].item(), bool(errors["scale"][0b10] <= errors["none"][0b10])  # nothing removed; bundle 1 removed
(0.0, True)
"""

from __future__ import annotations

import torch
from torch import Tensor

from liar.choices import Reconstruction
from liar.maths.channels import bundled
from liar.maths.moments import Moments
from liar.maths.reconstruct import product_ridge
from liar.maths.solver import in_solver_precision, ridge_of
from liar.sites import Site

CHOICE_RECONSTRUCTIONS: tuple[Reconstruction, ...] = ("none", "bias", "scale", "least-squares")

_BUNDLE_LIMIT = 12
_WORK_LIMIT = 5e8
"""Limit of 2^bundles x bundle_size^3, about 1 s: twelve heads of 32 channels or three groups of 192, not twelve of 64."""

_LEAST = 1e-30
"""Smallest ridge; needed if all channels are zero."""


def has_few_choices(site: Site) -> bool:
    """Whether the errors of all choices of a site's bundles are fast to compute and small to store."""
    return site.bundles <= _BUNDLE_LIMIT and 2**site.bundles * site.bundle_size**3 <= _WORK_LIMIT


def choice_errors(moments: Moments, weight: Tensor, bundle_size: int) -> dict[Reconstruction, Tensor]:
    """Errors E|Y'-Y|^2 / E|Y|^2, (2^bundles,), of a consumer of ``weight`` (d, d_out), for :data:`CHOICE_RECONSTRUCTIONS`.

    Bit i of the index is 1 if bundle i is removed.
    """
    W, mean, C = (in_solver_precision(tensor) for tensor in (weight, moments.mean, moments.covariance))
    dtype = W.dtype
    K, r, bundles = W @ W.T, ridge_of(moments), len(W) // bundle_size
    A = C + r.clamp_min(_LEAST).diag()
    G, penalty = bundled(torch.addr(C, mean, mean) * K, bundle_size), bundled(r * K.diagonal(), bundle_size)
    bits = torch.arange(2**bundles, device=C.device).unsqueeze(1) >> torch.arange(bundles, device=C.device)
    removed = (bits & 1).to(dtype)  # (2^bundles, bundles)

    def over_pairs(pairs: Tensor) -> Tensor:
        """Sums of ``pairs`` (bundles, bundles) over the removed bundles of each choice."""
        return torch.einsum("ca,ab,cb->c", removed, pairs, removed)

    least_squares = (A * K).sum() - _explained(A, A @ K @ A, bundle_size, bundles) - removed @ penalty
    errors: dict[Reconstruction, Tensor] = {
        "none": over_pairs(G),
        "bias": over_pairs(bundled(C * K, bundle_size)),
        "scale": G.sum() - _scaled(G, product_ridge(G, penalty), 1 - removed),
        "least-squares": least_squares,
    }
    for name in ("scale", "least-squares"):
        errors[name][0] = 0.0  # exact: with every channel kept only floating-point error is left
    energy = G.sum()
    if energy <= 0:  # the output is always zero, and what is left is the ridge
        return {name: torch.zeros_like(error) for name, error in errors.items()}
    return {name: error.clamp_min(0) / energy for name, error in errors.items()}


def _scaled(G: Tensor, R: Tensor, kept: Tensor) -> Tensor:
    """q_u^T (G + diag R)_uu^-1 q_u - 1^T R_u, (choices,), for the choices ``kept`` (choices, bundles) of ones and zeros."""
    A = kept.unsqueeze(2) * (G + R.diag()) * kept.unsqueeze(1) + (1 - kept).diag_embed()
    q = kept * (G.sum(dim=1) + R)
    explained: Tensor = (q * torch.linalg.solve(A, q)).sum(dim=1)
    return explained - kept @ R


def _explained(A: Tensor, K: Tensor, size: int, bundles: int) -> Tensor:
    """Traces tr(A_uu^-1 K_uu), (2^bundles,), with u the channels of the bundles whose bits are 0."""
    explained = A.new_zeros(1)
    A, K = A.unsqueeze(0), K.unsqueeze(0)  # (choices so far, undecided channels, undecided channels)
    for _ in range(bundles):
        pivot, across = A[:, :size, :size], A[:, size:, :size]
        gain = torch.linalg.solve(pivot, K[:, :size, :size]).diagonal(dim1=1, dim2=2).sum(dim=1)
        B = torch.linalg.solve(pivot, across.mT).mT
        shared = B @ K[:, :size, size:]
        A_kept = A[:, size:, size:] - B @ across.mT
        K_kept = K[:, size:, size:] - shared - shared.mT + B @ K[:, :size, :size] @ B.mT
        # Choices without the bundle come second, so that bit i of the index stands for bundle i.
        A, K = torch.cat([A_kept, A[:, size:, size:]]), torch.cat([K_kept, K[:, size:, size:]])
        explained = torch.cat([explained + gain, explained])
    return explained
