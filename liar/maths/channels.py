"""Bundles and their channels: indices, sums over bundles, and blocks of a covariance."""

from __future__ import annotations

import torch
from torch import Tensor

from liar.maths.moments import Moments
from liar.maths.solver import in_solver_precision


def members(bundles: Tensor, size: int) -> Tensor:
    """Indices of the members (channels, units, rows) of ``bundles``, ``size`` each, in order: (n,) -> (n * size,)."""
    return (bundles.unsqueeze(1) * size + torch.arange(size, device=bundles.device)).flatten()


def complement(kept: Tensor, size: int) -> Tensor:
    """Indices of ``range(size)`` that are not in ``kept``, ascending."""
    gone = torch.ones(size, dtype=torch.bool, device=kept.device)
    gone[kept] = False
    return gone.nonzero().squeeze(1)


def bundled(terms: Tensor, size: int) -> Tensor:
    """Sums of ``terms`` (d,) or (d, d) over the channels of each bundle, or of each pair of bundles; itself for size 1."""
    if size == 1:
        return terms
    for axis in range(terms.ndim):
        terms = terms.unflatten(axis, (-1, size)).sum(dim=axis + 1)
    return terms


def covariance_between(moments: Moments, rows: Tensor, columns: Tensor) -> Tensor:
    """A block of C, (rows, columns), in fp64 on the solver's device."""
    C = moments.covariance
    return in_solver_precision(C[rows.to(C.device).unsqueeze(1), columns.to(C.device)])
