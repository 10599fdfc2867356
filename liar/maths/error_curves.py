"""Error curves: the error for every number of kept units, for each reconstruction, from one factorisation.

Sort channels best first and let C + r I = L L^T, Z = L^T W, y = L^-1 mu. With the first k channels kept, the error is

* least-squares: sum_{j>=k} |Z_j|^2, the ridge objective; less r sum_{j>=k} |W_j|^2 it bounds the true error from above
  and equals it without a ridge;
* bias: tr(W_m^T C_mm W_m), a reverse cumulative sum of W * ((2 triu(C, 1) + diag C) W);
* none: bias + |mu_m W_m|^2;
* liar: least-squares plus the missing intercept |v_k|^2 / (1 + sum_{j<k} y_j^2), v_k = sum_{j<k} (y_j Z_j - mu_j W_j),
  if the kept rows span all outputs. Else the outputs are split by an orthonormal basis nested in k, from one QR of
  W_u^T over the sorted channels: inside the row space the error is this sum, outside it that of bias.

All curves together cost a few products of size d x d x d_out; every ratio is then a lookup.

>>> import torch
>>> from liar.maths.error_curves import error_curves
>>> from liar.maths.moments import Moments
>>> x = torch.randn(100, 1, dtype=torch.float64)
>>> moments, weight = Moments.of(torch.cat([x, 2 * x], dim=1)), torch.ones(2, 1, dtype=torch.float64)
>>> curves = error_curves(moments, weight, torch.tensor([1, 0]), ridge=0.0)
>>> {name: round(curves.error[name][1].item(), 3) for name in ("none", "least-squares")}  # the second channel kept
{'none': 0.111, 'least-squares': 0.0}
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from liar.maths.moments import Moments
from liar.maths.reconstruct import RIDGE, cholesky, in_solver_precision, members, ridge_of
from liar.spec import FITTED, RECONSTRUCTIONS, Reconstruction


@dataclass(frozen=True, slots=True)
class ErrorCurves:
    """Entry k of ``error[reconstruction]``, (bundles + 1,), is E|Y'-Y|^2 / E|Y|^2 with the first k of ``order`` kept.

    Entry 0 (nothing kept) completes the curve; no run may use it. ``energy`` is the mean over tokens of weight x |Y|^2,
    so error x energy is comparable between sites: on norm-aware moments it is E[|Y'-Y|^2 / |h|^2], the error relative
    to the residual stream.
    """

    order: Tensor
    error: dict[Reconstruction, Tensor]
    energy: float


def error_curves(
    moments: Moments,
    weight: Tensor,
    order: Tensor,
    *,
    bundle_size: int = 1,
    reconstructions: tuple[Reconstruction, ...] = RECONSTRUCTIONS,
    ridge: float = RIDGE,
    site: str = "the site",
) -> ErrorCurves:
    """Curves of a consumer of ``weight`` (d, d_out) whose bundles are kept in ``order`` (bundles,), best first.

    Raises :class:`SingularSystemError` if the covariance cannot be factorised.
    """
    channels = members(order.to(weight.device), bundle_size)
    W = in_solver_precision(weight[channels])
    mean = in_solver_precision(moments.mean[channels])
    C = in_solver_precision(moments.covariance[channels].gather(1, channels.expand(len(channels), -1)))

    found: dict[Reconstruction, Tensor] = {}
    UW = W
    if {"none", "bias", "liar"}.intersection(reconstructions):
        diagonal = C.diagonal().clone()
        UW = (C.triu(1) @ W).mul_(2).addcmul_(diagonal.unsqueeze(1), W)  # (2 triu(C, 1) + diag C) W
        found["bias"] = _from_end((W * UW).sum(dim=1))
        found["none"] = found["bias"] + _from_end(mean.unsqueeze(1) * W).square().sum(dim=1)
    if FITTED.intersection(reconstructions):
        r = ridge_of(moments, ridge)
        L = cholesky(C, r, site=site, tokens=moments.tokens)
        Z = L.T @ W
        found["least-squares"] = _from_end((Z.square() - r * W.square()).sum(dim=1))
        if "liar" in reconstructions:
            found["liar"] = _liar(L, Z, W, UW, mean, r, found["least-squares"])
    # With nothing kept, the curves of bias and least-squares are both tr(W^T C W).
    everything = found["bias" if "bias" in found else "least-squares"][0]
    energy = (everything + (mean @ W).square().sum()).clamp_min(torch.finfo(W.dtype).tiny)
    ends = slice(None, None, bundle_size)
    relative = {name: (found[name].clamp_min(0)[ends] / energy).cpu() for name in reconstructions}
    return ErrorCurves(order, relative, float(energy) * moments.weight / moments.tokens)


def _liar(L: Tensor, Z: Tensor, W: Tensor, UW: Tensor, mean: Tensor, r: float, least_squares: Tensor) -> Tensor:
    d, d_out = W.shape
    y = torch.linalg.solve_triangular(L, mean.unsqueeze(1), upper=False)
    V = y * Z - mean.unsqueeze(1) * W
    leverage = 1 + _from_start(y.square().squeeze(1))
    intercept = _from_start(V)
    curve = least_squares + intercept.square().sum(dim=1) / leverage
    curve[d] = 0.0  # exact: with every channel kept only floating-point error is left

    # With fewer kept channels than outputs, the output direction q_i is repaired only if i < k.
    count = min(d, d_out)  # if d < d_out, the outputs lie in the span of all d rows
    basis = torch.linalg.qr(W[:count].T).Q  # (d_out, count), nested: the first k columns span the first k rows
    rotated_Z, rotated_W, rotated_UW = Z @ basis, W @ basis, UW @ basis
    repaired = _from_end(rotated_Z.square() - r * rotated_W.square())[:count]
    repaired += (intercept[:count] @ basis).square() / leverage[:count].unsqueeze(1)
    untouched = _from_end(rotated_W * rotated_UW)[:count]
    k = torch.arange(count, device=W.device).unsqueeze(1)
    i = torch.arange(count, device=W.device).unsqueeze(0)
    curve[:count] = torch.where(i < k, repaired, untouched).sum(dim=1)
    return curve


def _from_end(rows: Tensor) -> Tensor:
    """Reverse cumulative sums along the first axis, with a closing zero: entry k is the sum of rows j >= k."""
    sums = rows.flip(0).cumsum(0).flip(0)
    return torch.cat([sums, torch.zeros_like(sums[:1])])


def _from_start(rows: Tensor) -> Tensor:
    """Cumulative sums along the first axis with an opening zero: entry k is the sum of rows j < k."""
    sums = rows.cumsum(0)
    return torch.cat([torch.zeros_like(sums[:1]), sums])
