"""Streaming moments: token count, mean and covariance of a consumer's input, all that reconstruction needs.

Chunks are merged by the update of Chan, Golub & LeVeque (1979): products are taken about the chunk's own mean, never as
E[x^2] - E[x]^2. Only the upper triangle is accumulated, in column blocks, which saves a third of the time of the
product that dominates a calibration.

>>> import torch
>>> from liar.maths.moments import Moments
>>> moments = Moments.of(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
>>> moments.tokens, moments.mean.tolist(), moments.covariance.tolist()
(2, [2.0, 5.0], [[1.0, 0.0], [0.0, 0.0]])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from liar.errors import CalibrationError, NonFiniteError
from liar.maths.checks import check_rows

_SMALLEST_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of ``tokens`` rows of width d.

    ``mean`` is (d,), ``covariance`` (d, d), both over the total ``weight`` (the token count if every row has weight 1).
    ``all_answer``: the model answers at every row, as a language model does; see :func:`liar.maths.solver.ridge_share`.
    """

    tokens: int
    weight: float
    mean: Tensor
    covariance: Tensor
    all_answer: bool = False

    @property
    def of_token(self) -> float:
        """Weight per token: 1, or more if the means of texts count; a mean error times it is the sum of all, per token."""
        return self.weight / self.tokens

    @property
    def second(self) -> Tensor:
        """S = C + mu mu^T, the raw second moment, (d, d)."""
        return torch.addr(self.covariance, self.mean, self.mean)

    @property
    def about_zero(self) -> Moments:
        """The same as if the mean were zero: with S for a covariance, by which what is fitted has no intercept."""
        return replace(self, mean=torch.zeros_like(self.mean), covariance=self.second)

    @classmethod
    def of(cls, rows: Tensor, weights: Tensor | None = None) -> Moments:
        """Moments of ``rows`` (tokens, d), each weighted by ``weights`` (tokens,) if given.

        Raises :class:`liar.errors.InvalidSpecError` for another shape or type, and what ``MomentsAccumulator.finish`` raises.
        """
        check_rows(rows, weights)
        accumulator = MomentsAccumulator(rows.shape[-1], rows.device, rows.dtype)
        accumulator.update(rows, weights)
        return accumulator.finish()


@dataclass(frozen=True, slots=True)
class SiteMoments:
    """Moments of a site: ``plain`` for solving; ``norm_aware``, with token weights 1/|h|^2, for reports and allocation.

    ``norm_aware`` is None if not requested. It may be of a sample of the tokens.
    """

    plain: Moments
    norm_aware: Moments | None = None


def sum_dtype(device: torch.device | str) -> torch.dtype:
    """Dtype of sums over chunks: fp64, so that their order, which depends on how processes share a text, is no matter.

    MPS has no fp64.
    """
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


class MomentsAccumulator:
    """Accumulator of moments over chunks of rows: products in fp32 (fp64 for fp64 rows), their sums in fp64."""

    def __init__(
        self,
        width: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        all_answer: bool = False,
    ) -> None:
        self.dtype = torch.promote_types(dtype, torch.float32)
        self.all_answer = all_answer
        self.tokens = 0
        self.weight = 0.0
        self.mean = torch.zeros(width, device=device, dtype=sum_dtype(device))
        self._scatter = torch.zeros(width, width, device=device, dtype=sum_dtype(device))

    def update(self, rows: Tensor, weights: Tensor | None = None, *, are_tokens: bool = True) -> None:
        """Merge a chunk of ``rows`` (tokens, d) with optional ``weights`` (tokens,), none negative.

        Rows that are means of texts and not tokens are not counted as such.
        """
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
            if weight == 0:  # no loss depends on this chunk
                self.tokens += are_tokens * rows.shape[0]
                return
            mean = weights @ rows / weight
            centred = (rows - mean).mul_(weights.sqrt().unsqueeze(1))
        for block, right in _blocks(rows.shape[1]):
            self._scatter[block, right] += centred[:, block].T @ centred[:, right]
        total = self.weight + weight
        shift = mean - self.mean
        self._scatter.addr_(shift, shift, alpha=self.weight * weight / total)
        self.mean.add_(shift, alpha=weight / total)
        self.weight = total
        self.tokens += are_tokens * rows.shape[0]

    def sums(self) -> Tensor:
        """Tokens, weight, and weight times mean, (2 + d,) in fp64: see :mod:`liar.maths.merging`."""
        counts = self.mean.new_tensor([self.tokens, self.weight], dtype=torch.float64)
        return torch.cat([counts, self.weight * self.mean.double()])

    def centred(self, sums: Tensor) -> Tensor:
        """Take over the ``sums`` of all parts; the upper triangle of the scatter about the common mean, in column blocks."""
        mean = sums[2:] / sums[1].clamp_min(torch.finfo(sums.dtype).tiny)
        shift = self.mean - mean.to(self.mean.dtype)
        self._scatter.addr_(shift, shift, alpha=self.weight)
        self.tokens, self.weight, self.mean = int(sums[0]), float(sums[1]), mean.to(self.mean.dtype)
        return torch.cat([self._scatter[block].flatten() for block in _blocks(len(mean))])

    def complete(self, products: Tensor) -> None:
        """Take over the ``products`` of all parts."""
        for block in _blocks(len(self.mean)):
            part = self._scatter[block]
            part.copy_(products[: part.numel()].view_as(part))
            products = products[part.numel() :]

    def finish(self, site: str = "the site") -> Moments:
        """Moments of all rows so far, in the dtype of the products. The accumulator must not be used again.

        Raises :class:`CalibrationError` without tokens, :class:`NonFiniteError` if an activation was NaN or Inf.
        """
        if self.tokens == 0 or self.weight <= 0:
            raise CalibrationError(f"No token reached {site}; give longer calibration text.")
        covariance = self._scatter.div_(self.weight).to(self.dtype)
        del self._scatter
        mean = self.mean.to(self.dtype)
        upper = covariance.triu(1)
        covariance.triu_().add_(upper.T)
        if not (torch.isfinite(covariance.diagonal()).all() and torch.isfinite(mean).all()):
            raise NonFiniteError(
                f"The activations at {site} hold NaN or Inf; check the weights up to that layer, or calibrate in float32."
            )
        return Moments(self.tokens, self.weight, mean, covariance, self.all_answer)


def _blocks(width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the column blocks that hold the upper triangle of a matrix (width, width)."""
    size = max(_SMALLEST_BLOCK, width // 8)
    for start in range(0, width, size):
        yield slice(start, start + size), slice(start, None)


class SiteMomentsAccumulator:
    """Accumulators of one site; without ``norm_aware`` only the plain one."""

    def __init__(
        self,
        width: int,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        *,
        norm_aware: bool = True,
        all_answer: bool = False,
    ) -> None:
        self._plain = MomentsAccumulator(width, device, dtype, all_answer=all_answer)
        self._norm_aware = MomentsAccumulator(width, device, dtype) if norm_aware else None

    @property
    def parts(self) -> list[MomentsAccumulator]:
        return [part for part in (self._plain, self._norm_aware) if part is not None]

    def update(self, rows: Tensor) -> None:
        """Merge the consumer's inputs ``rows`` (tokens, d) into the plain moments."""
        self._plain.update(rows)

    def update_norm_aware(self, rows: Tensor, stream: Tensor) -> None:
        """Merge the consumer's inputs ``rows`` (tokens, d), given the residual stream (tokens, width) after it."""
        assert self._norm_aware is not None
        squared_norm = stream.to(self._plain.dtype).square().sum(dim=-1)
        self._norm_aware.update(rows, 1.0 / squared_norm.clamp_min(torch.finfo(squared_norm.dtype).tiny))

    def update_means(self, means: Tensor, weights: Tensor, *, norm_aware: bool = False) -> None:
        """Merge the ``means`` (texts, d) of the rows of texts, which count as no tokens, with their ``weights`` (texts,)."""
        part = self._norm_aware if norm_aware else self._plain
        assert part is not None
        part.update(means, weights, are_tokens=False)

    def finish(self, site: str) -> SiteMoments:
        norm_aware = None if self._norm_aware is None else self._norm_aware.finish(site)
        return SiteMoments(self._plain.finish(site), norm_aware)
