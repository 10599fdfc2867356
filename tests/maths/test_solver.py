"""Systems that cannot be solved, the size of the ridge by tokens and variances, and what it leaves invariant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liar.errors import NonFiniteError, SingularSystemError
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct
from liar.maths.solver import RIDGE, cholesky, ridge_of, ridge_share
from tests.maths.problem import Problem, close, problems


def test_the_ridge_falls_with_text_and_faster_where_it_is_scarce_and_every_token_answers() -> None:
    channels = 8
    rows = Moments.of(torch.randn(9, channels, dtype=torch.float64))
    few = [replace(rows, tokens=tokens) for tokens in range(1, 20 * channels)]
    shares = [ridge_share(replace(moments, all_answer=True)) for moments in few]
    assert shares == sorted(shares, reverse=True)
    for moments, share in zip(few, shares, strict=True):
        plain = ridge_share(moments)
        assert plain == RIDGE * channels / moments.tokens
        assert plain <= share <= 4 * plain
        assert moments.tokens < 6 * channels or share == plain
        assert moments.tokens > 3 * channels or share == 4 * plain


@given(problems, st.floats(1e-3, 1e3))
def test_a_channel_and_its_ridge_scale_together(problem: Problem, factor: float) -> None:
    """Channels in other units, with weights that undo it, give the same outputs from the repaired layer."""
    units = torch.linspace(1, factor, len(problem.W), dtype=torch.float64)
    kept = problem.kept(max(1, problem.bundles // 2))
    scaled = reconstruct(Moments.of(problem.X * units), problem.W / units[:, None], kept)
    close(scaled.weight * units[kept, None], reconstruct(problem.moments, problem.W, kept).weight)


def test_a_constant_channel_has_a_ridge() -> None:
    X = torch.randn(50, 4, dtype=torch.float64)
    X[:, 1] = 3
    ridge = ridge_of(Moments.of(X))
    assert 0 < ridge[1] < 1e-5 * ridge.max()
    assert torch.isfinite(reconstruct(Moments.of(X), torch.randn(4, 2), torch.tensor([0, 1])).weight).all()


def test_singular_and_broken_systems_are_named() -> None:
    with pytest.raises(SingularSystemError, match=r"layers\.3\.ffn.*1,234 tokens"):
        cholesky(-torch.eye(4, dtype=torch.float64), None, site="layers.3.ffn", tokens=1234)
    with pytest.raises(NonFiniteError, match="NaN"):
        cholesky(torch.full((2, 2), float("nan")), None, site="layers.0.ffn", tokens=5)
