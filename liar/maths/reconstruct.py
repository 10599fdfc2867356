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

The ridge r_j = c (d / tokens) C_jj, see :func:`ridge_of`, adds sum_j r_j |W'_j - W_j|^2 over the kept rows to what a
fitted reconstruction minimises: r_j to the diagonals of S_uu and C_uu, and to that of G_uu the sum of r_j |W_j|^2 over the
channels of each bundle. So it draws the weight towards W_u, and a factor towards 1, the more the less text there is.

With a :class:`liar.maths.drift.Drift` least-squares has a second solution, which makes up for a share s of it too: Q W_m
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

from liar.errors import EmptySiteError, NonFiniteError, SingularSystemError
from liar.maths.drift import Drift
from liar.maths.moments import Moments
from liar.spec import RECONSTRUCTIONS, Reconstruction

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

_OUTPUTS = 1024
"""Outputs that :func:`relative_errors` looks at together."""

_LEAST_RIDGE = 1e-12
"""Share of the mean diagonal of G that is always added to it: a bundle without weights or activations gets the factor 1."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Result of a reconstruction: ``weight`` (kept, d_out); ``bias_change`` (d_out,), to be added to the old bias.

    ``corrected`` also makes up for the drift. Its distance to the dense output is meant, and no error of the solution.
    """

    weight: Tensor
    bias_change: Tensor
    corrected: Solution | None = None

    @property
    def installed(self) -> Solution:
        """What the consumer gets."""
        return self.corrected or self


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


def on_solver_device(tensor: Tensor) -> Tensor:
    """``tensor`` on a device that supports factorisations: its own, or the CPU instead of MPS, which lacks several."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def in_solver_precision(tensor: Tensor) -> Tensor:
    """Result of :func:`on_solver_device` in fp64. The move comes before the cast, since MPS has no fp64."""
    return on_solver_device(tensor).double()


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

    Raises :class:`EmptySiteError` if nothing is kept, :class:`SingularSystemError` if C_uu cannot be factorised,
    :class:`NonFiniteError` if the covariance or a solution is not finite.
    """
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

    ``penalty`` (bundles,) are the sums of r_j |W_j|^2 over each bundle. Raises the errors of :func:`cholesky`.
    """
    before = G.diagonal().clone()
    L = cholesky(G, product_ridge(G, penalty), site=site, tokens=tokens)
    return L, G.diagonal() - before


def product_ridge(G: Tensor, penalty: Tensor) -> Tensor:
    """R, (bundles,): the ``penalty`` of :func:`factor_products`, and never zero."""
    return penalty + (_LEAST_RIDGE * G.diagonal().mean()).clamp_min(1e-30)


def bundled(terms: Tensor, size: int) -> Tensor:
    """Sums of ``terms`` (d,) or (d, d) over the channels of each bundle, or of each pair of bundles; itself for size 1."""
    if size == 1:
        return terms
    for axis in range(terms.ndim):
        terms = terms.unflatten(axis, (-1, size)).sum(dim=axis + 1)
    return terms


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


def relative_errors(
    moments: Moments, weight: Tensor, kept: Tensor, solutions: dict[Reconstruction, Solution]
) -> dict[Reconstruction, float]:
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
    errors: dict[Reconstruction, float] = {}
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


def covariance_between(moments: Moments, rows: Tensor, columns: Tensor) -> Tensor:
    """A block of C, (rows, columns), in fp64 on the solver's device."""
    C = moments.covariance
    return in_solver_precision(C[rows.to(C.device).unsqueeze(1), columns.to(C.device)])


def complement(kept: Tensor, size: int) -> Tensor:
    """Indices of ``range(size)`` that are not in ``kept``, ascending."""
    gone = torch.ones(size, dtype=torch.bool, device=kept.device)
    gone[kept] = False
    return gone.nonzero().squeeze(1)


def members(bundles: Tensor, size: int) -> Tensor:
    """Indices of the members (channels, units, rows) of ``bundles``, ``size`` each, in order: (n,) -> (n * size,)."""
    return (bundles.unsqueeze(1) * size + torch.arange(size, device=bundles.device)).flatten()
