"""Moments compared with those of all rows in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liar.errors import CalibrationError, NonFiniteError
from liar.maths.moments import Moments, MomentsAccumulator, SiteMomentsAccumulator
from tests.maths.problem import Problem, problems


@given(problems, st.integers(1, 400), st.booleans())
def test_streamed_moments_equal_those_of_all_rows(problem: Problem, chunk: int, weighted: bool) -> None:
    X = problem.X
    weights = torch.linspace(0.1, 3.0, len(X), dtype=torch.float64) if weighted else None
    accumulator = MomentsAccumulator(X.shape[1], dtype=torch.float64)
    for start in range(0, len(X), chunk):
        stop = start + chunk
        accumulator.update(X[start:stop], None if weights is None else weights[start:stop])
    moments = accumulator.finish()
    expected = torch.cov(X.T, correction=0, aweights=weights)
    w = torch.ones(len(X), dtype=torch.float64) if weights is None else weights
    torch.testing.assert_close(moments.covariance, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    torch.testing.assert_close(moments.mean, (w @ X) / w.sum())
    torch.testing.assert_close(moments.second, (X.T * w) @ X / w.sum())
    assert moments.tokens == len(X)


def test_moments_of_wide_inputs_fill_both_triangles() -> None:
    rows = torch.randn(300, 700, dtype=torch.float64)
    covariance = Moments.of(rows).covariance
    torch.testing.assert_close(covariance, torch.cov(rows.T, correction=0))
    assert torch.equal(covariance, covariance.T)


def test_half_precision_rows_are_accumulated_in_fp32() -> None:
    rows = torch.randn(5000, 4).to(torch.bfloat16) + 100
    moments = Moments.of(rows)
    assert moments.covariance.dtype == torch.float32
    torch.testing.assert_close(
        moments.covariance, torch.cov(rows.double().T, correction=0).float(), rtol=1e-3, atol=1e-3
    )


def test_norm_aware_moments_weigh_tokens_by_their_residual_stream() -> None:
    X, stream = torch.randn(200, 5, dtype=torch.float64), torch.randn(200, 7, dtype=torch.float64) * 3
    accumulator = SiteMomentsAccumulator(5, "cpu", torch.float64)
    for part in (slice(0, 90), slice(90, 200)):
        accumulator.update(X[part])
        accumulator.update_norm_aware(X[part], stream[part])
    norm_aware = accumulator.finish("a site").norm_aware
    assert norm_aware is not None
    expected = torch.cov(X.T, correction=0, aweights=1 / stream.square().sum(1))
    torch.testing.assert_close(norm_aware.covariance, expected)


def test_no_tokens_and_infinite_ones_are_refused() -> None:
    with pytest.raises(CalibrationError):
        MomentsAccumulator(3).finish()
    accumulator = MomentsAccumulator(2)
    accumulator.update(torch.tensor([[1.0, float("inf")], [2.0, 3.0]]))
    with pytest.raises(NonFiniteError, match=r"layers\.1\.ffn"):
        accumulator.finish("layers.1.ffn")
