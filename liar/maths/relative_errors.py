"""Errors of a site's repairs in closed form, from its moments alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from liar.maths.channels import complement, covariance_between
from liar.maths.moments import Moments
from liar.maths.reconstruct import Solution
from liar.maths.solver import in_solver_precision, on_solver_device

Name = TypeVar("Name", bound=Hashable)

_OUTPUTS = 1024
"""Outputs that :func:`relative_errors` looks at together."""


def relative_errors(
    moments: Moments, weight: Tensor, kept: Tensor, solutions: Mapping[Name, Solution]
) -> dict[Name, float]:
    """E|Y' - Y|^2 / E|Y|^2 of each solution on ``moments``; no forward pass.

    With D the new minus the old map and e the new minus the old bias this is tr(D^T C D) + |mu D + e|^2 over
    tr(W^T S W), Y = X W without its bias. The rows of D of removed channels are -W_m for every solution, so their share
    is computed once.
    """
    kept = kept.to(on_solver_device(weight).device)
    mean = in_solver_precision(moments.mean)
    removed = complement(kept, weight.shape[0])
    W_u, W_m = (in_solver_precision(weight[rows]) for rows in (kept, removed))
    # One block of C at a time is in fp64, and some outputs at a time: a product as large as W would be most of the memory.
    outputs = [slice(start, start + _OUTPUTS) for start in range(0, weight.shape[1], _OUTPUTS)]
    C_mm = covariance_between(moments, removed, removed)
    removed_error = sum(_inner(W_m[:, some], C_mm @ W_m[:, some]) for some in outputs)
    del C_mm
    kept_CW_m = covariance_between(moments, kept, removed) @ W_m
    mean_removed = mean[removed] @ W_m
    del W_m
    C_uu = covariance_between(moments, kept, kept)
    energy = removed_error + float((mean[kept] @ W_u + mean_removed).square().sum())
    energy += sum(_inner(W_u[:, some], C_uu @ W_u[:, some] + 2 * kept_CW_m[:, some]) for some in outputs)
    if energy <= 0:
        return dict.fromkeys(solutions, 0.0)
    errors: dict[Name, float] = {}
    for name, solution in solutions.items():
        error, mean_error = removed_error, solution.bias_change - mean_removed
        if not torch.equal(solution.weight, W_u):
            for some in outputs:
                D_u = solution.weight[:, some] - W_u[:, some]
                error += _inner(D_u, C_uu @ D_u - 2 * kept_CW_m[:, some])
                mean_error[some] += mean[kept] @ D_u
        errors[name] = max(error + float(mean_error.square().sum()), 0.0) / energy
    return errors


def _inner(a: Tensor, b: Tensor) -> float:
    """Sum of the products of the elements."""
    return float(a.flatten() @ b.flatten())
