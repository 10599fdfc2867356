"""The reconstruction scale compared with a direct float64 solve on the tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from liar.maths.error_curves import error_curves
from liar.maths.moments import Moments
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE, ridge_of
from tests.maths.problem import TOLERANCE, Problem, close, problems


@given(problems, st.sampled_from([0.0, RIDGE, 10.0]), st.data())
def test_factors_are_those_of_least_squares_on_the_tokens(problem: Problem, ridge: float, data: st.DataObject) -> None:
    """A column for what each kept bundle adds to all outputs, and the ridge as rows that draw each factor towards 1."""
    kept = problem.kept(data.draw(st.integers(1, problem.bundles)))
    W, bundles = problem.W, kept.reshape(-1, problem.bundle)
    r = ridge_of(problem.moments, ridge)
    parts = torch.stack([(problem.X[:, bundle] @ W[bundle]).flatten() for bundle in bundles], dim=1)
    drawn = torch.stack([(r[bundle] @ W[bundle].square().sum(dim=1) * len(problem.X)).sqrt() for bundle in bundles])
    rows = torch.cat([parts, drawn.diag()])
    factors = torch.linalg.lstsq(rows, torch.cat([(problem.X @ W).flatten(), drawn]), driver="gelsd").solution
    close(problem.solutions(kept, ridge)["scale"].weight, factors.repeat_interleave(problem.bundle)[:, None] * W[kept])


@given(problems, st.sampled_from([0.0, RIDGE, 10.0]), st.data())
def test_scale_is_never_worse_than_none(problem: Problem, ridge: float, data: st.DataObject) -> None:
    kept = problem.kept(data.draw(st.integers(1, problem.bundles)))
    error = relative_errors(problem.moments, problem.W, kept, problem.solutions(kept, ridge))
    assert error["scale"] <= error["none"] * (1 + TOLERANCE)


@given(problems, st.sampled_from([0.0, RIDGE]), st.sampled_from(["weights", "activations"]))
def test_a_dead_bundle_keeps_the_factor_1(problem: Problem, ridge: float, dead: str) -> None:
    assume(problem.bundles > 2)
    first = problem.kept(1)
    if dead == "weights":
        problem.W[first] = 0
    else:
        problem.X[:, first] = 0
        problem.moments = Moments.of(problem.X)
    kept = problem.kept(problem.bundles - 1)
    scaled = problem.solutions(kept, ridge)["scale"].weight
    at = torch.isin(kept, first)
    assert torch.equal(scaled[at], problem.W[first.sort().values])
    assert not torch.allclose(scaled[~at], problem.W[kept[~at]])
    curves = error_curves(
        problem.moments, problem.W, problem.order, bundle_size=problem.bundle, reconstructions=("scale",), ridge=ridge
    )
    assert float(curves.error["scale"][1]) == pytest.approx(1)
    assert torch.isfinite(curves.error["scale"]).all()
