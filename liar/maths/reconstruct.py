"""Closed-form repair: pure functions from moments, weight and kept channels to the new weight and bias of a consumer.

A consumer computes Y = X W + b with X (tokens, d) and W (d, d_out). ``u`` are the kept channels, ``m`` the removed,
mu and C the mean and covariance of X, S = C + mu mu^T:

================  =================================================  =========================
reconstruction    new weight                                         new bias
================  =================================================  =========================
none              W_u                                                b
bias              W_u                                                b + mu_m W_m
scale             diag(1 + t) W_u, G_uu t = G_um 1                   b
liar              (I + Q P) W_u, Q = S_uu^-1 C_um, P = W_m W_u^+     b + mu_m W_m
least-squares     W_u + Q W_m,   Q = C_uu^-1 C_um                    b + (mu_m - mu_u Q) W_m
================  =================================================  =========================

``bias`` is FLAP (arXiv 2312.11983), ``liar`` is arXiv 2407.13331, and ``least-squares`` the optimum for a given mask.
P W_u is the projection of W_m on the row space of W_u, so Q P W_u = (Q W_m) Pi; neither Q nor P is ever formed.

``scale`` is the mask tuning of Kwon et al. 2022 (arXiv 2204.09656) in closed form: one factor 1 + t for each kept bundle
(all channels of a head, or one neuron). G, the mean products of what two bundles add to the output, is
(W W^T) * S elementwise, summed over the channels of each pair of bundles.

The ridge r_j = c (d / tokens) C_jj, see :func:`liar.maths.solver.ridge_of`, adds sum_j r_j |W'_j - W_j|^2 over the kept
rows to what a fitted reconstruction minimises: r_j to the diagonals of S_uu and C_uu, and to that of G_uu the sum of
r_j |W_j|^2 over the channels of each bundle. So it draws the weight towards W_u, and a factor towards 1, the more the less
text there is.

With a :class:`liar.maths.drift.Drift` least-squares has a second solution, which compensates a share s of it too: Q W_m
becomes C_uu^-1 (C_um W_m + s cov(x_u, drift)), and the bias has s times the mean of the drift.

If the removed channel is twice a kept one, least-squares adds twice its weight to that of the kept one:

>>> import torch
>>> from liar.maths.moments import Moments
>>> from liar.maths.reconstruct import reconstruct
>>> x = torch.randn(100, 1, dtype=torch.float64)
>>> moments, weight = Moments.of(torch.cat([x, 2 * x], dim=1)), torch.ones(2, 1, dtype=torch.float64)
>>> reconstruct(moments, weight, torch.tensor([0]), ridge=0.0).weight.round(decimals=6)
tensor([[3.]], dtype=torch.float64)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from liar.choices import Reconstruction
from liar.errors import EmptySiteError, InvalidSpecError, NonFiniteError
from liar.maths.channels import bundled, complement, covariance_between
from liar.maths.checks import check_repair, described
from liar.maths.drift import Drift
from liar.maths.moments import Moments
from liar.maths.solver import RIDGE, cholesky, in_solver_precision, ridge_of
from liar.spec import RECONSTRUCTIONS

_LEAST_RIDGE = 1e-12
"""Share of the mean diagonal of G that is always added to it: a bundle without weights or activations gets the factor 1."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Result of a reconstruction: ``weight`` (kept, d_out); ``bias_change`` (d_out,), to be added to the old bias.

    ``corrected`` also fits the drift. It approximates the dense residual stream, so do not compute the error of the site by it.
    """

    weight: Tensor
    bias_change: Tensor
    corrected: Solution | None = None

    @property
    def installed(self) -> Solution:
        """What the consumer gets."""
        return self.corrected or self


def reconstruct(
    moments: Moments,
    weight: Tensor,
    kept: Tensor,
    method: Reconstruction = "least-squares",
    *,
    bundle_size: int = 1,
    ridge: float = RIDGE,
    site: str = "the site",
) -> Solution:
    """Repair a consumer of ``weight`` (d, d_out) that keeps the channels ``kept`` (k,).

    Arguments and errors as in :func:`reconstruct_all`.
    """
    return reconstruct_all(moments, weight, kept, (method,), bundle_size=bundle_size, ridge=ridge, site=site)[method]


def reconstruct_all(
    moments: Moments,
    weight: Tensor,
    kept: Tensor,
    methods: Iterable[Reconstruction] = RECONSTRUCTIONS,
    *,
    bundle_size: int = 1,
    ridge: float = RIDGE,
    drift: Drift | None = None,
    site: str = "the site",
) -> dict[Reconstruction, Solution]:
    """Several reconstructions of one site, which share what they have in common, such as the factorisation of C_uu.

    ``kept`` (k,) holds whole bundles of ``bundle_size`` channels, one after the other. Least-squares has a solution
    ``corrected`` for the ``drift`` as well; the others do not read it.

    Raises :class:`InvalidSpecError` for arguments of another kind or shape, and for an unknown method;
    :class:`EmptySiteError` if nothing is kept, :class:`liar.errors.SingularSystemError` if C_uu cannot be factorised,
    :class:`NonFiniteError` if the covariance or a solution is not finite.
    """
    if not isinstance(moments, Moments):
        raise InvalidSpecError(f"The moments are {described(moments)}; give what Moments.of(rows) returns.")
    check_repair(len(moments.mean), weight, kept, bundle_size, ridge)
    methods = tuple(methods)
    if unknown := [name for name in methods if name not in RECONSTRUCTIONS]:
        raise InvalidSpecError(
            f"There is no reconstruction {unknown[0]!r}; choose one of: {', '.join(RECONSTRUCTIONS)}."
        )
    if kept.numel() == 0:
        raise EmptySiteError(f"Nothing would be left of {site}; lower the ratio.")
    masked = _Masked(moments, weight, kept, bundle_size, ridge, drift, site)
    solutions = {name: SOLVERS[name](masked) for name in methods}
    W_u = masked.W_u
    del masked  # with more than all solutions
    for name, solution in solutions.items():
        if solution.weight is not W_u and not torch.isfinite(solution.installed.weight).all():
            raise NonFiniteError(f"The {name} solution at {site} holds NaN or Inf; calibrate with more tokens.")
    return solutions


class _Masked:
    """A consumer with its kept channels u and removed channels m; what reconstructions share is computed on first use."""

    def __init__(
        self,
        moments: Moments,
        weight: Tensor,
        kept: Tensor,
        bundle_size: int,
        ridge: float,
        drift: Drift | None,
        site: str,
    ) -> None:
        W, mean = in_solver_precision(weight), in_solver_precision(moments.mean)
        self.moments, self.bundle_size, self.drift, self.site = moments, bundle_size, drift, site
        self.ridge = ridge_of(moments, ridge)
        self.kept = kept.to(W.device)
        self.removed = complement(self.kept, len(W))
        self.W_u, self.W_m = W[self.kept], W[self.removed]
        self.mu_u = mean[self.kept]
        self.mean_change = mean[self.removed] @ self.W_m

    def kept_covariance(self) -> Tensor:
        """C_uu, (k, k), a new tensor."""
        return covariance_between(self.moments, self.kept, self.kept)

    @cached_property
    def target(self) -> Tensor:
        """C_um W_m, (k, d_out)."""
        return covariance_between(self.moments, self.kept, self.removed) @ self.W_m

    @cached_property
    def factor(self) -> Tensor:
        """Lower factor of C_uu, (k, k)."""
        return cholesky(self.kept_covariance(), self.ridge[self.kept], site=self.site, tokens=self.moments.tokens)

    @cached_property
    def solved(self) -> tuple[Tensor, Tensor]:
        """C_uu^-1 C_um W_m, (k, d_out), and C_uu^-1 mu_u, (k,)."""
        solved = torch.cholesky_solve(torch.cat([self.target, self.mu_u.unsqueeze(1)], dim=1), self.factor)
        return solved[:, :-1], solved[:, -1]


def _none(masked: _Masked) -> Solution:
    return Solution(masked.W_u, torch.zeros_like(masked.mean_change))


def _bias(masked: _Masked) -> Solution:
    return Solution(masked.W_u, masked.mean_change)


def _scale(masked: _Masked) -> Solution:
    W_u, size = masked.W_u, masked.bundle_size
    S_uu = masked.kept_covariance().addr_(masked.mu_u, masked.mu_u)
    G = output_products(W_u, S_uu, size)
    del S_uu  # as large as the factor
    penalty = bundled(masked.ridge[masked.kept] * W_u.square().sum(dim=1), size)
    L, _ = factor_products(G, penalty, site=masked.site, tokens=masked.moments.tokens)
    lost = masked.target + masked.mu_u.unsqueeze(1) * masked.mean_change  # S_um W_m
    t = torch.cholesky_solve(bundled((W_u * lost).sum(dim=1), size).unsqueeze(1), L)  # its right side is G_um 1
    return Solution((1 + t).repeat_interleave(size, dim=0) * W_u, torch.zeros_like(masked.mean_change))


def _liar(masked: _Masked) -> Solution:
    """S_uu differs from C_uu by mu_u mu_u^T only, so this follows from the solve of least-squares by Sherman-Morrison."""
    update, direction = masked.solved
    shift = masked.mu_u @ update
    raw = update - torch.outer(direction, shift / (1 + masked.mu_u @ direction))  # S_uu^-1 C_um W_m
    return Solution(masked.W_u + project_on_rows(raw, masked.W_u), masked.mean_change)


def _least_squares(masked: _Masked) -> Solution:
    update, _ = masked.solved
    weight, bias_change = masked.W_u + update, masked.mean_change - masked.mu_u @ update
    if masked.drift is None:
        return Solution(weight, bias_change)
    cross = in_solver_precision(masked.drift.cross[masked.kept.to(masked.drift.cross.device)])
    correction = torch.cholesky_solve(cross, masked.factor)
    bias_correction = in_solver_precision(masked.drift.mean) - masked.mu_u @ correction
    return Solution(weight, bias_change, Solution(weight + correction, bias_change + bias_correction))


SOLVERS: Mapping[Reconstruction, Callable[[_Masked], Solution]] = {
    "none": _none,
    "bias": _bias,
    "scale": _scale,
    "liar": _liar,
    "least-squares": _least_squares,
}


def output_products(W: Tensor, S: Tensor, bundle_size: int) -> Tensor:
    """G: the mean over tokens of the products of what each two bundles add to the output, (bundles, bundles).

    Its sum over all pairs is E|X W|^2.
    """
    return bundled((W @ W.T).mul_(S), bundle_size)


def factor_products(G: Tensor, penalty: Tensor, *, site: str, tokens: int) -> tuple[Tensor, Tensor]:
    """Lower factor of G + diag R, and R, the ridge of each bundle with any jitter; overwrites ``G``.

    ``penalty`` (bundles,) are the sums of r_j |W_j|^2 over each bundle. Errors as in
    :func:`liar.maths.solver.cholesky`.
    """
    before = G.diagonal().clone()
    L = cholesky(G, product_ridge(G, penalty), site=site, tokens=tokens)
    return L, G.diagonal() - before


def product_ridge(G: Tensor, penalty: Tensor) -> Tensor:
    """R, (bundles,): the ``penalty`` of :func:`factor_products`, and never zero."""
    return penalty + (_LEAST_RIDGE * G.diagonal().mean()).clamp_min(1e-30)


def project_on_rows(rows: Tensor, basis: Tensor) -> Tensor:
    """``rows`` (n, d_out) projected on the row space of ``basis`` (k, d_out): rows pinv(basis) basis.

    This is the identity if k >= d_out and ``basis`` has full column rank; a small Cholesky tests for it.
    """
    gram = basis.T @ basis
    if basis.shape[0] >= basis.shape[1]:
        factor, info = torch.linalg.cholesky_ex(gram)
        diagonal = factor.diagonal()
        if int(info) == 0 and diagonal.min() > 1e-6 * diagonal.max():
            return rows
    values, vectors = torch.linalg.eigh(gram)
    # These are squared singular values: a cut at eps is one at sqrt(eps) of the singular values.
    space: Tensor = vectors[:, values > values[-1] * torch.finfo(values.dtype).eps * gram.shape[0]]
    return (rows @ space) @ space.T
