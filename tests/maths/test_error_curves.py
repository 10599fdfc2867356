"""Curves, and the errors of every choice of bundles, compared with direct solves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from liar.choices import Reconstruction
from liar.maths import error_curves as curves_of_orders
from liar.maths.choice_errors import CHOICE_RECONSTRUCTIONS, choice_errors
from liar.maths.error_curves import error_curves
from liar.maths.moments import Moments
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE
from liar.spec import RECONSTRUCTIONS
from tests.maths.problem import Problem, close, problems


@given(problems, st.sampled_from([0.0, RIDGE]), st.sampled_from([1, 2, 256]))
def test_curves_equal_direct_solves(problem: Problem, ridge: float, rows: int) -> None:
    """Each curve equals the error plus the ridge penalty of the weight change, which is zero for none and bias.

    ``rows`` of a triangular product at a time change nothing.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves_of_orders, "_ROWS", rows)
        curves = error_curves(problem.moments, problem.W, problem.order, bundle_size=problem.bundle, ridge=ridge)
    energy = float((problem.X @ problem.W).square().sum() / len(problem.X))
    r = ridge * len(problem.W) / len(problem.X) * problem.moments.covariance.diagonal()
    assert curves.energy == pytest.approx(energy)
    for count in range(1, problem.bundles + 1):
        kept = problem.kept(count)
        solutions = problem.solutions(kept, ridge)
        errors = relative_errors(problem.moments, problem.W, kept, solutions)
        for name in RECONSTRUCTIONS:
            change = solutions[name].weight - problem.W[kept]
            objective = errors[name] + float(r[kept] @ change.square().sum(dim=1)) / energy
            assert float(curves.error[name][count]) == pytest.approx(objective, abs=1e-7), (name, count)
            assert float(curves.error[name][count]) >= errors[name] - 1e-7


@given(problems, st.sampled_from(RECONSTRUCTIONS))
def test_a_curve_alone_is_the_same_as_with_the_others(problem: Problem, name: Reconstruction) -> None:
    every = error_curves(problem.moments, problem.W, problem.order, bundle_size=problem.bundle)
    alone = error_curves(problem.moments, problem.W, problem.order, bundle_size=problem.bundle, reconstructions=(name,))
    assert alone.energy == pytest.approx(every.energy)
    close(alone.error[name], every.error[name])


@given(problems)
def test_every_choice_of_bundles_has_the_error_that_its_curve_has(problem: Problem) -> None:
    assume(problem.bundles <= 8)
    found = choice_errors(problem.moments, problem.W, problem.bundle)
    assert tuple(found) == CHOICE_RECONSTRUCTIONS
    for order in (problem.order, problem.order.flip(0), problem.order.roll(1)):
        curves = error_curves(problem.moments, problem.W, order, bundle_size=problem.bundle)
        for kept in range(problem.bundles + 1):
            index = sum(1 << bundle for bundle in order[kept:].tolist())
            for name, errors in found.items():
                assert float(errors[index]) == pytest.approx(float(curves.error[name][kept]), abs=1e-7), (name, kept)


@given(problems)
def test_a_whole_site_has_no_error_at_all(problem: Problem) -> None:
    curves = error_curves(problem.moments, problem.W, problem.order, bundle_size=problem.bundle)
    assert {name: float(curve[-1]) for name, curve in curves.error.items()} == dict.fromkeys(RECONSTRUCTIONS, 0.0)


@given(problems)
def test_the_least_squares_objective_never_grows_with_kept_units(problem: Problem) -> None:
    curves = error_curves(problem.moments, problem.W, problem.order, bundle_size=problem.bundle, ridge=0.0)
    curve = curves.error["least-squares"]
    assert (curve.diff() <= 1e-12).all()
    assert float(curve[-1]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("reason", ["inputs", "weights", "both in turn"])
def test_a_dead_site_has_no_error(reason: str) -> None:
    """Its output is always zero; what would be left is the ridge divided by the smallest number there is."""
    rows, weight = torch.randn(100, 6, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    if reason != "weights":
        rows[:, 0 if reason == "inputs" else 3 :] = 0
    if reason != "inputs":
        weight[: 6 if reason == "weights" else 3] = 0
    moments = Moments.of(rows)
    curves = error_curves(moments, weight, torch.arange(6))
    assert curves.energy == 0
    for name in RECONSTRUCTIONS:
        assert not curves.error[name].any()
        alone = error_curves(moments, weight, torch.arange(6), reconstructions=(name,))
        assert alone.energy == 0
        assert not alone.error[name].any()
    for error in choice_errors(moments, weight, 2).values():
        assert not error.any()
