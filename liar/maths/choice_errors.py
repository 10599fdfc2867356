"""Error of every choice of bundles at a site with few bundles; error curves follow one order of the bundles only.

With u the kept and m the removed channels, A = C + r I and G = W W^T:

* bias: tr(C_mm G_mm), and none the same with C + mu mu^T: sums over pairs of removed bundles;
* least-squares: the residual of regressing all outputs on X_u, tr(W^T A W) - tr(A_uu^-1 (A G A)_uu) - r tr(G_mm).

For the first bundles of an order the errors equal those of :mod:`liar.maths.error_curves`. One binary tree gives all
traces: a kept bundle is swept out of A and A G A, a removed one is only dropped, so most of its matrices are small.
The reconstruction liar is left out: it needs the row space of each W_u.

>>> import torch
>>> from liar.maths.choice_errors import choice_errors
>>> from liar.maths.moments import Moments
>>> moments = Moments.of(torch.randn(100, 4, dtype=torch.float64))
>>> none, bias, least_squares = choice_errors(moments, torch.randn(4, 2, dtype=torch.float64), bundle_size=2)
>>> none[0b00].item(), bool(least_squares[0b10] <= bias[0b10] <= none[0b10])  # nothing removed; bundle 1 removed
(0.0, True)
"""

from __future__ import annotations

import torch
from torch import Tensor

from liar.maths.moments import Moments
from liar.maths.reconstruct import in_solver_precision, ridge_of
from liar.sites import Site

_BUNDLE_LIMIT = 12
_WORK_LIMIT = 5e8
"""Limit of 2^bundles x bundle_size^3, about 1 s: twelve heads of 32 channels or three groups of 192, not twelve of 64."""

_LEAST = 1e-30
"""Smallest ridge; needed if all channels are zero."""


def has_few_choices(site: Site) -> bool:
    """Whether the errors of all choices of a site's bundles are fast to compute and small to store."""
    return site.bundles <= _BUNDLE_LIMIT and 2**site.bundles * site.bundle_size**3 <= _WORK_LIMIT


def choice_errors(moments: Moments, weight: Tensor, bundle_size: int) -> Tensor:
    """Errors E|Y'-Y|^2 / E|Y|^2, (3, 2^bundles), of a consumer of ``weight`` (d, d_out) for none, bias, least-squares.

    Bit i of the second index is 1 if bundle i is removed.
    """
    W, mean, C = (in_solver_precision(tensor) for tensor in (weight, moments.mean, moments.covariance))
    dtype = W.dtype
    G, r, bundles = W @ W.T, ridge_of(moments), len(W) // bundle_size
    A = C + max(r, _LEAST) * torch.eye(len(C), dtype=dtype, device=C.device)
    bits = torch.arange(2**bundles, device=C.device).unsqueeze(1) >> torch.arange(bundles, device=C.device)
    removed = (bits & 1).to(dtype)  # (2^bundles, bundles)

    def over_pairs(terms: Tensor) -> Tensor:
        """Sums of ``terms`` (d, d) over the removed channels of each choice."""
        pairs = terms.reshape(bundles, bundle_size, bundles, bundle_size).sum(dim=(1, 3))
        return torch.einsum("ca,ab,cb->c", removed, pairs, removed)

    bias = over_pairs(C * G)
    none = bias + over_pairs(torch.outer(mean, mean) * G)
    lengths = removed @ G.diagonal().reshape(bundles, bundle_size).sum(dim=1)
    least_squares = (A * G).sum() - _explained(A, A @ G @ A, bundle_size, bundles) - r * lengths
    least_squares[0] = 0.0  # exact: with every channel kept only floating-point error is left
    energy = ((C + torch.outer(mean, mean)) * G).sum().clamp_min(torch.finfo(dtype).tiny)
    return torch.stack([none, bias, least_squares]).clamp_min(0) / energy


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
