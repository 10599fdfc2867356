"""Repairs compared with direct float64 solves, and their errors with those of every token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from liar.choices import REPAIRS
from liar.errors import EmptySiteError
from liar.maths.channels import complement
from liar.maths.error_curves import CURVES, error_curves
from liar.maths.moments import Moments
from liar.maths.reconstruct import SOLVERS, reconstruct, reconstruct_all
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE, ridge_of
from liar.spec import RECONSTRUCTIONS
from tests.maths.problem import TOLERANCE, Problem, close, problems


@given(problems, st.sampled_from([0.0, RIDGE]), st.data())
def test_solutions_are_those_of_the_table(problem: Problem, ridge: float, data: st.DataObject) -> None:
    kept = problem.kept(data.draw(st.integers(1, problem.bundles)))
    removed = complement(kept, len(problem.W))
    C, S, mu, W = problem.moments.covariance, problem.moments.second, problem.moments.mean, problem.W
    r = (ridge * len(C) / len(problem.X) * C.diagonal()[kept]).diag()
    W_u, W_m, C_um = W[kept], W[removed], C[kept][:, removed]
    solutions = problem.solutions(kept, ridge)

    Q = torch.linalg.solve(C[kept][:, kept] + r, C_um)
    close(solutions["least-squares"].weight, W_u + Q @ W_m)
    close(solutions["least-squares"].bias_change, (mu[removed] - mu[kept] @ Q) @ W_m)
    # The paper read literally: Q fits the raw kept inputs to the centred removed ones.
    Q = torch.linalg.solve(S[kept][:, kept] + r, C_um)
    close(solutions["liar"].weight, W_u + Q @ W_m @ torch.linalg.pinv(W_u) @ W_u)
    close(solutions["liar"].bias_change, mu[removed] @ W_m)
    close(solutions["bias"].weight, W_u)
    close(solutions["bias"].bias_change, mu[removed] @ W_m)
    close(solutions["none"].bias_change, torch.zeros_like(W[0]))
    close(solutions["scale"].bias_change, torch.zeros_like(W[0]))


@given(problems, st.data())
def test_closed_form_error_is_the_measured_one(problem: Problem, data: st.DataObject) -> None:
    kept = problem.kept(data.draw(st.integers(1, problem.bundles)))
    solutions = problem.solutions(kept)
    errors = relative_errors(problem.moments, problem.W, kept, solutions)
    for name, solution in solutions.items():
        assert errors[name] == pytest.approx(
            problem.measured(kept, solution.weight, solution.bias_change), abs=TOLERANCE
        )


@given(problems, st.data())
def test_each_reconstruction_is_at_least_as_good_as_the_one_before(problem: Problem, data: st.DataObject) -> None:
    kept = problem.kept(data.draw(st.integers(1, problem.bundles)))
    solutions = problem.solutions(kept, ridge=0.0)
    error = relative_errors(problem.moments, problem.W, kept, solutions)
    assert error["bias"] <= error["none"] + TOLERANCE
    assert error["least-squares"] <= error["scale"] + TOLERANCE
    assert error["liar"] <= error["bias"] + TOLERANCE
    assert error["least-squares"] <= error["liar"] + TOLERANCE


@given(problems, st.integers(0, 100))
def test_least_squares_without_a_ridge_is_optimal(problem: Problem, seed: int) -> None:
    kept = problem.kept(max(1, problem.bundles // 2))
    best = reconstruct(problem.moments, problem.W, kept, ridge=0.0)
    generator = torch.Generator().manual_seed(seed)
    other = best.weight + 1e-2 * torch.randn(best.weight.shape, generator=generator, dtype=torch.float64)
    assert problem.measured(kept, best.weight, best.bias_change) <= problem.measured(kept, other, best.bias_change)


def test_every_reconstruction_has_a_solution_a_curve_and_a_record_in_one_order() -> None:
    assert tuple(SOLVERS) == tuple(CURVES) == tuple(REPAIRS) == RECONSTRUCTIONS


@given(problems)
def test_keeping_every_unit_changes_nothing(problem: Problem) -> None:
    kept = torch.arange(len(problem.W))
    for solution in problem.solutions(kept).values():
        close(solution.weight, problem.W)
        close(solution.bias_change, torch.zeros_like(problem.W[0]))


@given(problems)
def test_liar_lacks_only_the_intercept_where_kept_rows_span_the_outputs(problem: Problem) -> None:
    kept = problem.kept(problem.bundles - 1) if problem.bundles > 1 else problem.kept(1)
    assume(len(kept) >= problem.W.shape[1])
    solutions = reconstruct_all(problem.moments, problem.W, kept, ridge=0.0)
    error = relative_errors(problem.moments, problem.W, kept, solutions)
    mu_u = problem.moments.mean[kept]
    C_uu = problem.moments.covariance[kept][:, kept]
    shift = mu_u @ (solutions["least-squares"].weight - problem.W[kept])
    extra = shift.square().sum() / (1 + mu_u @ torch.linalg.solve(C_uu, mu_u))
    energy = (problem.X @ problem.W).square().sum() / len(problem.X)
    assert error["liar"] == pytest.approx(error["least-squares"] + float(extra / energy), abs=1e-8)


def test_reading_that_counts_the_mean_twice_is_another_matrix_and_worse_than_bias() -> None:
    """The reading that the table rejects: Q fits the raw kept inputs to the *raw* removed ones, and mu_m W_m is added too."""
    problem = Problem(3, 24, 3, 1)
    problem.X += 20
    problem.moments = Moments.of(problem.X)
    kept = problem.kept(12)
    removed = complement(kept, 24)
    S, mu, W = problem.moments.second, problem.moments.mean, problem.W
    Q = torch.linalg.solve(S[kept][:, kept], S[kept][:, removed])
    twice = problem.measured(kept, W[kept] + Q @ W[removed], mu[removed] @ W[removed])
    solutions = reconstruct_all(problem.moments, W, kept, ridge=0.0)
    error = relative_errors(problem.moments, W, kept, solutions)
    assert error["liar"] < error["bias"] < twice


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(EmptySiteError):
        reconstruct(Moments.of(torch.randn(9, 4)), torch.randn(4, 2), torch.tensor([], dtype=torch.long))


@given(problems, st.integers(2, 6))
def test_the_solution_tends_to_least_squares_as_tokens_grow(problem: Problem, decades: int) -> None:
    """The same covariance from more tokens: the distance to the solution without a ridge falls as 1 / tokens."""
    kept = problem.kept(max(1, problem.bundles // 2))
    exact = reconstruct(problem.moments, problem.W, kept, ridge=0.0).weight

    def distance(tokens: int) -> float:
        more = replace(problem.moments, tokens=tokens)
        return float((reconstruct(more, problem.W, kept).weight - exact).norm())

    assert distance(len(problem.X) * 10**decades) <= distance(len(problem.X)) + TOLERANCE
    assert distance(len(problem.X) * 10**9) <= 1e-5 * float(problem.W.norm())


def test_fewer_tokens_than_channels_still_solve_by_the_ridge() -> None:
    X, W = torch.randn(5, 12, dtype=torch.float64), torch.randn(12, 3, dtype=torch.float64)
    solution = reconstruct(Moments.of(X), W, torch.arange(8))
    assert torch.isfinite(solution.weight).all()


# -- scale --------------------------------------------------------------------------------------------------------------


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
