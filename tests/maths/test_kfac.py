"""The criterion kfac: obs with errors in the metric of the loss, against direct repairs in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.maths.criteria import Evidence, SiteGradients, order_of, score
from liar.maths.solver import ridge_of
from liar.sites import Site
from tests.maths.problem import Problem, problems


def evidence(problem: Problem, metric: Tensor | None) -> Evidence:
    none = torch.zeros(problem.bundles)
    site = Site(0, "attention", problem.bundles, problem.bundle)
    return Evidence(site, problem.moments, problem.W, gradients=SiteGradients(none, none, outputs=metric))


def metric(problem: Problem, seed: int, rows: int = 40) -> Tensor:
    """A second moment (d_out, d_out) of gradients whose sizes differ from output to output."""
    generator = torch.Generator().manual_seed(seed)
    d_out = problem.W.shape[1]
    gradients = torch.randn(rows, d_out, generator=generator, dtype=torch.float64)
    gradients = gradients * torch.logspace(0, 2, d_out, dtype=torch.float64)
    return gradients.T @ gradients / rows


@given(problems, st.just(0.0) | st.floats(1e-12, 1e6))
def test_if_all_outputs_matter_alike_or_none_does_it_is_obs(problem: Problem, scale: float) -> None:
    identity = scale * torch.eye(problem.W.shape[1], dtype=torch.float64)
    given_evidence = evidence(problem, identity)
    torch.testing.assert_close(score("kfac", given_evidence), score("obs", given_evidence))


@given(problems, st.integers(0, 100))
def test_the_first_to_go_costs_least_after_the_best_repair(problem: Problem, seed: int) -> None:
    """The cost of removing one bundle, tr(D^T (C + diag r) D G) with G damped, from a direct repair of each."""
    G = metric(problem, seed)
    damped = 0.9 * G * len(G) / G.trace() + 0.1 * torch.eye(len(G), dtype=torch.float64)
    C = problem.moments.covariance + ridge_of(problem.moments).diag()
    costs = []
    for bundle in range(problem.bundles):
        removed = torch.arange(bundle * problem.bundle, (bundle + 1) * problem.bundle)
        kept = torch.tensor([j for j in range(len(C)) if j not in removed])
        change = problem.W.clone().neg()
        change[kept] = torch.linalg.solve(C[kept][:, kept], C[kept][:, removed] @ problem.W[removed])
        costs.append(float((change.T @ C @ change @ damped).trace()))
    first = int(order_of(score("kfac", evidence(problem, G)))[-1])
    assert costs[first] <= min(costs) * (1 + 1e-6)


@given(problems, st.integers(0, 100))
def test_the_scale_of_the_gradients_does_not_matter(problem: Problem, seed: int) -> None:
    G = metric(problem, seed)
    torch.testing.assert_close(score("kfac", evidence(problem, G)), score("kfac", evidence(problem, 1e-9 * G)))


def test_fewer_gradients_than_outputs_suffice() -> None:
    problem = Problem(3, 12, 30, 1)
    assert torch.isfinite(score("kfac", evidence(problem, metric(problem, 1, rows=1)))).all()


def test_it_spares_what_the_answer_feels() -> None:
    """Of two units that lose the same, the one whose output does not matter goes first."""
    problem = Problem(4, 12, 8, 1)
    problem.W[:] = 0
    problem.W[0, 0] = problem.W[1, 1] = 1.0
    problem.W[2:, 2:] = 10.0
    G = torch.eye(8, dtype=torch.float64)
    G[0, 0] = 100.0
    order = order_of(score("kfac", evidence(problem, G))).tolist()
    assert order.index(0) < order.index(1)


def test_gradients_are_needed() -> None:
    with pytest.raises(AssertionError, match="outputs"):
        score("kfac", evidence(Problem(1, 6, 3, 1), None))
