"""Error curves: the error for every number of kept units, for each reconstruction, from one factorisation.

Sort channels best first and let C + diag r = L L^T, Z = L^T W, z = L^-1 mu. With the first k channels kept, the error is

* least-squares: sum_{j>=k} |Z_j|^2, the ridge objective; less sum_{j>=k} r_j |W_j|^2 it bounds the true error from above
  (7 % higher on average at an FFN with eight tokens for each channel, 12.5 % at most) and equals it without a ridge;
* bias: tr(W_m^T C_mm W_m), a reverse cumulative sum of W * ((2 triu(C, 1) + diag C) W);
* none: bias + |mu_m W_m|^2;
* scale: sum_{j>=k} (y_j^2 - R_j) over bundles, the ridge objective, with R_j the sum of r_i |W_i|^2 over a bundle's channels,
  G + diag R = L L^T for the G of :mod:`liar.maths.reconstruct`, and y = L^-1 (G 1 + R). For with factors s on the first k
  bundles it is
  1^T G 1 - 2 s^T (G 1)_u + s^T G_uu s + (s - 1)^T R_u (s - 1), least where L_uu^T s = y_u, and 0 for k = all;
* liar: least-squares plus the missing intercept |v_k|^2 / (1 + sum_{j<k} z_j^2), v_k = sum_{j<k} (z_j Z_j - mu_j W_j),
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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from liar.choices import REPAIRS, Reconstruction
from liar.maths.channels import bundled, members
from liar.maths.moments import Moments
from liar.maths.reconstruct import factor_products, output_products
from liar.maths.solver import RIDGE, cholesky, in_solver_precision, on_solver_device, ridge_of
from liar.spec import RECONSTRUCTIONS

_ROWS = 256


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

    All are zero if the consumer's output always is. Raises :class:`SingularSystemError` if the covariance cannot be
    factorised.
    """
    ranked = _Ranked(moments, weight, order, bundle_size, ridge, site)
    found = {name: CURVES[name](ranked) for name in reconstructions}
    # With nothing kept the error is E|Y|^2, or tr(W^T C W) if a new bias restores the mean.
    first = reconstructions[0]
    energy = found[first][0] + (ranked.mean @ ranked.W).square().sum() * REPAIRS[first].changes_bias
    if ranked.is_dead:  # what is left is the ridge and the jitter of its factorisation
        energy, found = torch.zeros_like(energy), {name: torch.zeros_like(curve) for name, curve in found.items()}
    relative = {name: (curve.clamp_min(0) / (energy or 1.0)).cpu() for name, curve in found.items()}
    return ErrorCurves(order, relative, float(energy) * moments.weight / moments.tokens)


class _Ranked:
    """A consumer with its channels sorted best first; what curves share is computed on first use."""

    def __init__(
        self, moments: Moments, weight: Tensor, order: Tensor, bundle_size: int, ridge: float, site: str
    ) -> None:
        channels = members(order.to(weight.device), bundle_size)
        self.bundle_size, self.site, self.tokens = bundle_size, site, moments.tokens
        self.ridge = ridge_of(moments, ridge)[on_solver_device(channels)]
        self.W = in_solver_precision(weight[channels])
        self.mean = in_solver_precision(moments.mean[channels])
        self.C = in_solver_precision(moments.covariance[channels].gather(1, channels.expand(len(channels), -1)))

    @property
    def is_dead(self) -> bool:
        """Whether no channel with a weight ever differs from zero."""
        second = self.C.diagonal() + self.mean.square()
        return not bool((second * self.W.square().sum(dim=1)).any())

    @cached_property
    def upper_products(self) -> Tensor:
        """(2 triu(C, 1) + diag C) W, (d, d_out)."""
        products = torch.empty_like(self.W)
        for rows in self._row_blocks():
            torch.mm(self.C[rows, rows.stop :], self.W[rows.stop :], out=products[rows])
            products[rows].addmm_(self.C[rows, rows].triu(1), self.W[rows])
        return products.mul_(2).addcmul_(self.C.diagonal().unsqueeze(1), self.W)

    @cached_property
    def factor(self) -> Tensor:
        """Lower factor of C + diag r, (d, d)."""
        variances = self.C.diagonal().clone()
        factor = cholesky(self.C, self.ridge, site=self.site, tokens=self.tokens)
        self.C.diagonal().copy_(variances)  # overwritten by the factorisation
        return factor

    @cached_property
    def rotated(self) -> Tensor:
        """L^T W, (d, d_out)."""
        products = torch.empty_like(self.W)
        for rows in self._row_blocks():
            torch.mm(self.factor[rows.start :, rows].T, self.W[rows.start :], out=products[rows])
        return products

    def _row_blocks(self) -> Iterator[slice]:
        """Rows of a product with a triangular matrix, so many at a time that hardly a zero is multiplied."""
        channels = len(self.W)
        return (slice(start, min(start + _ROWS, channels)) for start in range(0, channels, _ROWS))

    def at_bundles(self, curve: Tensor) -> Tensor:
        """The entries of a curve over channels (d + 1,) at whole bundles, (bundles + 1,)."""
        return curve[:: self.bundle_size]


def _none(ranked: _Ranked) -> Tensor:
    lost = _from_end(ranked.mean.unsqueeze(1) * ranked.W).square().sum(dim=1)
    return _bias(ranked) + ranked.at_bundles(lost)


def _bias(ranked: _Ranked) -> Tensor:
    return ranked.at_bundles(_from_end((ranked.W * ranked.upper_products).sum(dim=1)))


def _scale(ranked: _Ranked) -> Tensor:
    W, size = ranked.W, ranked.bundle_size
    G = output_products(W, torch.addr(ranked.C, ranked.mean, ranked.mean), size)
    sums = G.sum(dim=1)
    L, R = factor_products(
        G, bundled(ranked.ridge * W.square().sum(dim=1), size), site=ranked.site, tokens=ranked.tokens
    )
    y = torch.linalg.solve_triangular(L, (sums + R).unsqueeze(1), upper=False).squeeze(1)
    return _from_end(y.square() - R)


def _liar(ranked: _Ranked) -> Tensor:
    L, Z, W, UW, r = ranked.factor, ranked.rotated, ranked.W, ranked.upper_products, ranked.ridge.unsqueeze(1)
    d, d_out = W.shape
    mean = ranked.mean.unsqueeze(1)
    z = torch.linalg.solve_triangular(L, mean, upper=False)
    leverage = 1 + _from_start(z.square().squeeze(1))
    intercept = _from_start(z * Z - mean * W)
    curve = _from_end(_unexplained(ranked)) + intercept.square().sum(dim=1) / leverage
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
    return ranked.at_bundles(curve)


def _least_squares(ranked: _Ranked) -> Tensor:
    return ranked.at_bundles(_from_end(_unexplained(ranked)))


def _unexplained(ranked: _Ranked) -> Tensor:
    """What each channel, once removed, adds to the error of least-squares, (d,)."""
    return (ranked.rotated.square() - ranked.ridge.unsqueeze(1) * ranked.W.square()).sum(dim=1)


CURVES: Mapping[Reconstruction, Callable[[_Ranked], Tensor]] = {
    "none": _none,
    "bias": _bias,
    "scale": _scale,
    "liar": _liar,
    "least-squares": _least_squares,
}


def _from_end(rows: Tensor) -> Tensor:
    """Reverse cumulative sums along the first axis, with a closing zero: entry k is the sum of rows j >= k."""
    sums = rows.flip(0).cumsum(0).flip(0)
    return torch.cat([sums, torch.zeros_like(sums[:1])])


def _from_start(rows: Tensor) -> Tensor:
    """Cumulative sums along the first axis with an opening zero: entry k is the sum of rows j < k."""
    sums = rows.cumsum(0)
    return torch.cat([torch.zeros_like(sums[:1]), sums])
