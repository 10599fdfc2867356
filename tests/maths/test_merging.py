"""Moments and drift of a text in parts against those of the whole text, for any number of parts, empty ones included."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Barrier, Thread

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.maths.drift import Drift, DriftAccumulator, attenuation
from liar.maths.merging import Mergeable, merge
from liar.maths.moments import Moments, MomentsAccumulator

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any)


class Together:
    """Threads in the place of processes: each calls :meth:`summed` with its own tensor."""

    def __init__(self, parts: int) -> None:
        self._barrier, self._own = Barrier(parts), [torch.zeros(0)] * parts

    def summed(self, part: int, tensor: Tensor) -> Tensor:
        self._own[part] = tensor
        self._barrier.wait()
        total = torch.stack(self._own).sum(dim=0)
        self._barrier.wait()
        return total

    def run(self, work: Sequence[object]) -> None:
        threads = [Thread(target=each) for each in work]  # type: ignore[arg-type]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def merged(parts: Sequence[Sequence[Mergeable]]) -> None:
    together = Together(len(parts))
    together.run(
        [
            lambda part=part, own=own: merge(own, lambda tensor: together.summed(part, tensor))
            for part, own in enumerate(parts)
        ]
    )


def rows(sizes: Sequence[int], width: int, seed: int) -> tuple[Tensor, ...]:
    """Rows far from zero, of another mean in each part, which a raw second moment in fp32 would not survive."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(size, width, generator=generator) + 1000 + 10 * torch.randn(width, generator=generator)
        for size in sizes
    )


@given(SIZES, st.integers(0, 9))
def test_merged_moments_are_those_of_all_rows(sizes: list[int], seed: int) -> None:
    parts = rows(sizes, 300, seed)  # wider than a block of columns
    weights = [torch.rand(size, generator=torch.Generator().manual_seed(seed + size)) + 0.1 for size in sizes]
    accumulators = [(MomentsAccumulator(300), MomentsAccumulator(300)) for _ in parts]
    for (plain, weighted), own, weight in zip(accumulators, parts, weights, strict=True):
        plain.update(own)
        weighted.update(own, weight)
    merged(accumulators)
    whole = torch.cat(parts).double()
    every = [(plain.finish(), weighted.finish()) for plain, weighted in accumulators]
    for plain, weighted in every:
        same(plain, Moments.of(whole))
        same(weighted, Moments.of(whole, torch.cat(weights).double()))
    first = every[0]
    assert all(torch.equal(first[0].covariance, other[0].covariance) for other in every)


def same(found: Moments, expected: Moments) -> None:
    assert found.tokens == expected.tokens
    assert found.weight == pytest.approx(expected.weight, rel=1e-6)
    torch.testing.assert_close(found.mean.double(), expected.mean, rtol=1e-6, atol=0)
    scale = expected.covariance.diagonal().max().clamp_min(1.0)
    torch.testing.assert_close(found.covariance.double() / scale, expected.covariance / scale, rtol=0, atol=1e-4)


@given(SIZES, st.integers(0, 9))
def test_merged_drift_is_that_of_all_rows(sizes: list[int], seed: int) -> None:
    inputs, drifts = (tuple(each.double() for each in rows(sizes, width, seed)) for width in (6, 4))
    accumulators = [DriftAccumulator(6, 4, dtype=torch.float64) for _ in sizes]
    for accumulator, own, drift in zip(accumulators, inputs, drifts, strict=True):
        accumulator.update(own, drift)
    merged([[accumulator] for accumulator in accumulators])
    whole = DriftAccumulator(6, 4, dtype=torch.float64)
    whole.update(torch.cat(inputs), torch.cat(drifts))
    expected: Drift = whole.finish()
    for accumulator in accumulators:
        found = accumulator.finish()
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.cross, expected.cross, rtol=1e-6, atol=1e-6)


@given(SIZES.filter(lambda sizes: sum(sizes) > 1), st.integers(0, 9))
def test_a_slope_in_parts_is_that_of_all_rows(sizes: list[int], seed: int) -> None:
    dense = rows(sizes, 5, seed)
    pruned = [0.5 * each + noise for each, noise in zip(dense, rows(sizes, 5, seed + 1), strict=True)]
    together, found = Together(len(sizes)), [0.0] * len(sizes)

    def fit(part: int) -> None:
        found[part] = attenuation([dense[part]], [pruned[part]], lambda tensor: together.summed(part, tensor))

    together.run([lambda part=part: fit(part) for part in range(len(sizes))])
    assert found == pytest.approx([attenuation(dense, pruned)] * len(sizes), rel=1e-9)
