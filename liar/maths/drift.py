"""Drift: what the residual stream of a model has lost by the sites pruned so far, as a moment with the next consumer's input.

A consumer can compensate drift that is linear in its own input x: the least-squares map to it is C_uu^-1 cov(x_u, drift).
A repair compensates a share of it only, because earlier repairs were fitted to this very text, so that its drift is not
quite that of other text; the sites that follow compensate a share of what is left. Early sites take the larger shares:
nothing follows the last ones that would compensate what they overfit. For weights that are rounded, GPTAQ
(arXiv 2504.02692) corrects what is already lost in the output of each layer; here the target is the residual stream.

What is left of the drift behind the last block is not known to the head, which reads a state that is noisy but as large as
ever, and answers too surely. The least-squares slope on a noisy regressor is below 1: :func:`attenuation`.

>>> import torch
>>> from liar.maths.drift import DriftAccumulator
>>> accumulator = DriftAccumulator(2, 1)
>>> accumulator.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[0.0], [4.0]]))
>>> drift = accumulator.finish()
>>> drift.mean.tolist(), drift.cross.tolist()
([2.0], [[2.0], [0.0]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from liar.errors import NonFiniteError
from liar.maths.merging import Summed, alone
from liar.maths.moments import sum_dtype

SHARES = (0.4, 0.1)
"""Shares of the drift that the repairs of the first and of the last block compensate. On validation windows of SmolLM2 at
50 % a share of 0.25 everywhere has more loss, one that rises to the end more yet, and 1 more than none."""

MASSIVE = 10
"""A token whose residual stream has more than so many times the median norm counts as one without drift: the few with massive
activations have thousands of times the drift of others, and the least-squares map would serve them alone."""


LEAST_FACTOR = 0.5
"""Smallest attenuation: a smaller slope is a sign of unusual text, or of a model that answers nothing any more."""
_LEAST_VARIANCE = 1e-6
"""Share of the mean squared norm of the last hidden states below which their variance is rounding noise."""


@dataclass(frozen=True, slots=True)
class Drift:
    """``mean`` (d_out,) of the drift, and ``cross`` (d, d_out), the covariance of a consumer's input with it."""

    mean: Tensor
    cross: Tensor

    def about_zero(self, mean: Tensor) -> Drift:
        """The same as if it and the input, of this ``mean`` (d,), had a mean of zero."""
        return Drift(torch.zeros_like(self.mean), torch.addr(self.cross, mean.to(self.cross), self.mean))

    def times(self, share: float) -> Drift:
        """This share of the drift."""
        return Drift(self.mean * share, self.cross * share)


def share_of(layer: int, layers: int) -> float:
    """Share of the drift that the repairs of block ``layer`` of so many compensate, on a line from first to last."""
    first, last = SHARES
    return first + (last - first) * layer / max(layers - 1, 1)


class DriftAccumulator:
    """Accumulator over chunks of rows, by the update of :mod:`liar.maths.moments`."""

    def __init__(
        self, width: int, outputs: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.dtype = torch.promote_types(dtype, torch.float32)
        self._weight = 0.0
        sums = sum_dtype(device)
        self._input = torch.zeros(width, device=device, dtype=sums)
        self._mean = torch.zeros(outputs, device=device, dtype=sums)
        self._cross = torch.zeros(width, outputs, device=device, dtype=sums)

    def update(self, rows: Tensor, drift: Tensor, weights: Tensor | None = None) -> None:
        """Merge a chunk: a consumer's input ``rows`` (tokens, d), and the ``drift`` (tokens, d_out) of the same tokens; or
        means of texts, with ``weights`` (texts,).
        """
        if rows.shape[0] == 0:
            return
        rows, drift = rows.to(self.dtype), drift.to(self.dtype)
        if weights is None:
            weight, mean, drift_mean = float(rows.shape[0]), rows.mean(dim=0), drift.mean(dim=0)
            centred = rows - mean
        else:
            weights = weights.to(self.dtype)
            weight = float(weights.sum())
            if weight == 0:
                return
            mean, drift_mean = weights @ rows / weight, weights @ drift / weight
            centred = (rows - mean) * weights.unsqueeze(1)
        total = self._weight + weight
        shift, drift_shift = mean - self._input, drift_mean - self._mean
        self._cross += centred.T @ (drift - drift_mean)
        self._cross.addr_(shift, drift_shift, alpha=self._weight * weight / total)
        self._input.add_(shift, alpha=weight / total)
        self._mean.add_(drift_shift, alpha=weight / total)
        self._weight = total

    def sums(self) -> Tensor:
        """Weight, and weight times the means of input and drift, (1 + d + d_out,) in fp64: see :mod:`liar.maths.merging`."""
        count = self._mean.new_tensor([self._weight], dtype=torch.float64)
        return torch.cat([count, self._weight * self._input.double(), self._weight * self._mean.double()])

    def centred(self, sums: Tensor) -> Tensor:
        """Take over the ``sums`` of all parts; the products about the common means."""
        means = (sums[1:] / sums[0].clamp_min(torch.finfo(sums.dtype).tiny)).split([len(self._input), len(self._mean)])
        shift, drift_shift = (
            own - common.to(own.dtype) for own, common in zip((self._input, self._mean), means, strict=True)
        )
        self._cross.addr_(shift, drift_shift, alpha=self._weight)
        self._weight, (self._input, self._mean) = float(sums[0]), (mean.to(self._mean.dtype) for mean in means)
        return self._cross.flatten()

    def complete(self, products: Tensor) -> None:
        """Take over the ``products`` of all parts."""
        self._cross.copy_(products.view_as(self._cross))  # a view would keep the products of all accumulators

    def finish(self) -> Drift:
        """The drift of all rows so far, in the dtype of the products. The accumulator must not be used again."""
        return Drift(self._mean.to(self.dtype), self._cross.div_(self._weight or 1).to(self.dtype))


def ordinary(streams: list[Tensor], gathered: Callable[[Tensor], Tensor] = alone) -> list[Tensor]:
    """For each of ``streams`` (tokens, width) a mask (tokens, 1), 0 for tokens with massive activations and 1 for others.

    ``gathered`` adds the rows of other processes.
    """
    norms = [stream.float().norm(dim=-1, keepdim=True) for stream in streams]
    limit = MASSIVE * gathered(torch.cat(norms)).median()
    return [(norm <= limit).to(stream.dtype) for norm, stream in zip(norms, streams, strict=True)]


def attenuation(dense: Sequence[Tensor], pruned: Sequence[Tensor], summed: Summed = alone) -> float:
    """Slope of the regression, with an intercept, of the last hidden states ``dense`` on ``pruned``, (tokens, width) each.

    Not below :data:`LEAST_FACTOR` nor above 1. 1 if the states of either model hardly differ from token to token, as on a text
    that repeats one word: their slope is rounding noise. ``summed`` adds what other processes have read. Raises
    :class:`NonFiniteError`.
    """
    # On the CPU, because MPS has no fp64.
    both = torch.stack([torch.cat([rows.cpu().double() for rows in states]) for states in (dense, pruned)])
    tokens = summed(torch.tensor(both.shape[1], dtype=torch.float64))
    centred = both - summed(both.sum(dim=1)).unsqueeze(1) / tokens
    first, second = centred
    sums = torch.stack([*centred.square().sum(dim=(1, 2)), *both.square().sum(dim=(1, 2)), (first * second).sum()])
    dense_variance, variance, dense_energy, energy, shared = summed(sums).tolist()
    if not isfinite(shared):
        raise NonFiniteError("The last hidden states hold NaN or Inf; calibrate in float32.")
    if dense_variance <= _LEAST_VARIANCE * dense_energy or variance <= _LEAST_VARIANCE * energy:
        return 1.0
    return min(max(float(shared / variance), LEAST_FACTOR), 1.0)
