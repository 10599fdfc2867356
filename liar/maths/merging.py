"""Sums of one text that several processes have read in parts, put together by two sums over the processes.

The first gives the common mean, in fp64; each part then moves its products to that mean, and the second adds them up. This is
the update of :mod:`liar.maths.moments` for any number of parts at once, and as exact: no raw second moment is formed.

>>> import torch
>>> from liar.maths.merging import merge
>>> from liar.maths.moments import MomentsAccumulator
>>> accumulator = MomentsAccumulator(2)
>>> accumulator.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
>>> merge([accumulator], summed=lambda sums: 2 * sums)  # as if another process had read the same rows
>>> moments = accumulator.finish()
>>> moments.tokens, moments.mean.tolist(), moments.covariance.tolist()
(4, [2.0, 5.0], [[1.0, 0.0], [0.0, 0.0]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Summed = Callable[[Tensor], Tensor]
"""Sum of a tensor over all processes, which each of them calls with its own; it may overwrite its argument."""


def alone(sums: Tensor) -> Tensor:
    """The sum over one process."""
    return sums


class Mergeable(Protocol):
    """An accumulator of a mean and of products about it."""

    def sums(self) -> Tensor:
        """Counts, and means times their weights, (n,) in fp64."""

    def centred(self, sums: Tensor) -> Tensor:
        """Take over the ``sums`` of all parts; the products about the common mean, (m,)."""

    def complete(self, products: Tensor) -> None:
        """Take over the ``products`` of all parts."""


def merge(accumulators: Sequence[Mergeable], summed: Summed) -> None:
    """Make each accumulator that of all parts of the text, by two calls of ``summed``, however many there are.

    They are on one device and have one dtype. A part may be empty.
    """
    own = [accumulator.sums() for accumulator in accumulators]
    sums = summed(torch.cat(own)).split([len(each) for each in own])
    parts = [accumulator.centred(each) for accumulator, each in zip(accumulators, sums, strict=True)]
    products = summed(torch.cat(parts)).split([len(each) for each in parts])
    for accumulator, each in zip(accumulators, products, strict=True):
        accumulator.complete(each)
