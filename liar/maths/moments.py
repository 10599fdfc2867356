"""Streaming moments: token count, mean and covariance of what a consumer reads. All that reconstruction needs.

Chunks are merged by the update of Chan, Golub & LeVeque (1979): the products are taken about the chunk's own mean, so
nothing is ever computed as E[x^2] - E[x]^2. Only the upper triangle is accumulated, in column blocks; that saves a
third of the time of the one product that dominates a calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from liar.errors import CalibrationError, NonFiniteError

_SMALLEST_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of ``tokens`` rows of width d.

    ``mean`` is (d,), ``covariance`` (d, d), both over the total ``weight`` (the token count where rows weigh one).
    """

    tokens: int
    weight: float
    mean: Tensor
    covariance: Tensor

    @property
    def second(self) -> Tensor:
        """S = C + mu mu^T, the raw second moment, (d, d)."""
        return torch.addr(self.covariance, self.mean, self.mean)

    @classmethod
    def of(cls, rows: Tensor, weights: Tensor | None = None) -> Moments:
        """Moments of ``rows`` (tokens, d), each weighted by ``weights`` (tokens,) where given."""
        accumulator = MomentsAccumulator(rows.shape[-1], rows.device, rows.dtype)
        accumulator.update(rows, weights)
        return accumulator.finish()


@dataclass(frozen=True, slots=True)
class SiteMoments:
    """``plain`` moments are for solving; ``norm_aware`` ones, in which a token weighs 1/|h|^2, report and allocate.

    ``norm_aware`` is None where they were not asked for: they take as long as the plain ones.
    """

    plain: Moments
    norm_aware: Moments | None = None


class MomentsAccumulator:
    """Adds chunks of rows; half-precision rows are accumulated in fp32, fp64 rows in fp64."""

    def __init__(self, width: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.dtype = torch.promote_types(dtype, torch.float32)
        self.tokens = 0
        self.weight = 0.0
        self.mean = torch.zeros(width, device=device, dtype=self.dtype)
        self._scatter = torch.zeros(width, width, device=device, dtype=self.dtype)

    def update(self, rows: Tensor, weights: Tensor | None = None) -> None:
        """Merge a chunk of ``rows`` (tokens, d) with optional positive ``weights`` (tokens,)."""
        if rows.shape[0] == 0:
            return
        rows = rows.to(self.dtype)
        if weights is None:
            weight = float(rows.shape[0])
            mean = rows.mean(dim=0)
            centred = rows - mean
        else:
            weights = weights.to(self.dtype)
            weight = float(weights.sum())
            if weight == 0:  # a chunk that no loss depends on
                self.tokens += rows.shape[0]
                return
            mean = weights @ rows / weight
            centred = (rows - mean).mul_(weights.sqrt().unsqueeze(1))
        block = max(_SMALLEST_BLOCK, rows.shape[1] // 8)
        for start in range(0, rows.shape[1], block):
            self._scatter[start : start + block, start:].addmm_(centred[:, start : start + block].T, centred[:, start:])
        total = self.weight + weight
        shift = mean - self.mean
        self._scatter.addr_(shift, shift, alpha=self.weight * weight / total)
        self.mean.add_(shift, alpha=weight / total)
        self.weight = total
        self.tokens += rows.shape[0]

    def finish(self, site: str = "the site") -> Moments:
        """The moments so far; the accumulator gives its memory away and must not be used again.

        Raises :class:`CalibrationError` without tokens, :class:`NonFiniteError` when an activation was NaN or Inf.
        """
        if self.tokens == 0 or self.weight <= 0:
            raise CalibrationError(f"No token reached {site}; give longer calibration text.")
        covariance = self._scatter.div_(self.weight)
        del self._scatter
        upper = covariance.triu(1)
        covariance.triu_().add_(upper.T)
        if not (torch.isfinite(covariance.diagonal()).all() and torch.isfinite(self.mean).all()):
            raise NonFiniteError(
                f"The activations at {site} hold NaN or Inf; check the weights up to that layer, or calibrate in float32."
            )
        return Moments(self.tokens, self.weight, self.mean, covariance)


class SiteMomentsAccumulator:
    """The accumulators of one site, fed together; ``norm_aware`` False leaves those moments out."""

    def __init__(
        self,
        width: int,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        *,
        norm_aware: bool = True,
    ) -> None:
        self._plain = MomentsAccumulator(width, device, dtype)
        self._norm_aware = MomentsAccumulator(width, device, dtype) if norm_aware else None

    def update(self, rows: Tensor, stream: Tensor) -> None:
        """``rows`` (tokens, d) are the consumer's inputs, ``stream`` (tokens, width) the residual stream behind it."""
        self._plain.update(rows)
        if self._norm_aware is not None:
            squared_norm = stream.to(self._plain.dtype).square().sum(dim=-1)
            self._norm_aware.update(rows, 1.0 / squared_norm.clamp_min(torch.finfo(squared_norm.dtype).tiny))

    def finish(self, site: str) -> SiteMoments:
        norm_aware = None if self._norm_aware is None else self._norm_aware.finish(site)
        return SiteMoments(self._plain.finish(site), norm_aware)
