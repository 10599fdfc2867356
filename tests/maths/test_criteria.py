"""Scores of the criteria compared with their formulas, those of kfac with direct repairs in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.choices import IMPORTANCE, Criterion
from liar.explore.allocation import Candidate, allocate
from liar.maths.criteria import CRITERIA, Evidence, SiteGradients, deviation, order_of, score
from liar.maths.error_curves import error_curves
from liar.maths.moments import Moments
from liar.maths.solver import ridge_of
from liar.sites import Site
from tests.maths.problem import Problem, problems


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if IMPORTANCE[name].gradients is None])
@pytest.mark.parametrize(("unit_size", "group"), [(1, 1), (2, 3)])
def test_criteria_score_bundles_and_repeat_themselves(criterion: str, unit_size: int, group: int) -> None:
    problem = Problem(5, 24, 6, 1)
    site = Site(2, "attention", 24 // unit_size, unit_size, group)
    evidence = Evidence(site, problem.moments, problem.W, seed=7)
    scores = score(criterion, evidence)  # type: ignore[arg-type]
    assert scores.shape == (site.bundles,)
    assert torch.isfinite(scores).all()
    assert torch.equal(scores, score(criterion, evidence))  # type: ignore[arg-type]


def test_scores_by_their_formulas() -> None:
    problem = Problem(6, 12, 5, 1)
    evidence = Evidence(Site(0, "ffn", 12), problem.moments, problem.W)
    C, S, W = problem.moments.covariance, problem.moments.second, problem.W
    torch.testing.assert_close(score("fluctuation", evidence), C.diagonal() * W.square().sum(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(score("wanda", evidence), S.diagonal().sqrt() * W.abs().sum(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(score("magnitude", evidence), W.square().sum(1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("criterion", ["magnitude", "wanda", "fluctuation"])
def test_global_compares_heads_by_the_mean_of_their_standardised_channels(criterion: Criterion) -> None:
    """As in FLAP (arXiv 2312.11983): channels are standardised first, then averaged over a head."""
    problems = (Problem(7, 24, 5, 1), Problem(8, 24, 5, 1))
    sites = [Site(0, "attention", 6, 4), Site(0, "ffn", 24)]
    candidates, standard = [], []
    for problem, site in zip(problems, sites, strict=True):
        evidence = Evidence(site, problem.moments, problem.W)
        channels = score(criterion, replace(evidence, site=Site(0, "ffn", 24)))
        z = (channels - channels.mean()) / channels.std()
        standard += [(float(value), site.name) for value in z.reshape(site.units, -1).mean(dim=1)]
        scores = score(criterion, evidence)
        candidates.append(Candidate(site, site.unit_size, scores.numpy(), None, deviation(criterion, evidence, scores)))
    gone = [name for _, name in sorted(standard)[:8]]  # the units with the lowest scores, of either kind
    removed = sum(4 if name.endswith("attention") else 1 for name in gone)
    kept = allocate("global", candidates, removed / 48)
    assert kept == {site.name: site.units - gone.count(site.name) for site in sites}


@given(problems)
def test_obs_beats_random_masks_under_least_squares(problem: Problem) -> None:
    site = Site(0, "ffn", len(problem.W))
    kept_count = max(1, site.units // 2)

    def error(criterion: str) -> float:
        order = order_of(score(criterion, Evidence(site, problem.moments, problem.W)))  # type: ignore[arg-type]
        return float(error_curves(problem.moments, problem.W, order).error["least-squares"][kept_count])

    assert error("obs") <= error("random") * 1.05 + 1e-12


def test_obs_removes_first_what_costs_least() -> None:
    """With uncorrelated channels the cost of a channel is (C_jj + r) |W_j|^2, whichever were removed before it."""
    X = torch.randn(20_000, 16, dtype=torch.float64)
    X = torch.linalg.qr(X - X.mean(0)).Q * torch.linspace(1, 4, 16, dtype=torch.float64)
    W = torch.randn(16, 4, dtype=torch.float64)
    moments = Moments.of(X)
    cost = (moments.covariance.diagonal() + ridge_of(moments)) * W.square().sum(1)
    assert torch.equal(order_of(score("obs", Evidence(Site(0, "ffn", 16), moments, W))), order_of(cost))


# -- kfac: obs with errors in the metric of the loss --------------------------------------------------------------------


def with_metric(problem: Problem, metric: Tensor | None) -> Evidence:
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
    evidence = with_metric(problem, identity)
    torch.testing.assert_close(score("kfac", evidence), score("obs", evidence))


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
    first = int(order_of(score("kfac", with_metric(problem, G)))[-1])
    assert costs[first] <= min(costs) * (1 + 1e-6)


@given(problems, st.integers(0, 100))
def test_the_scale_of_the_gradients_does_not_matter(problem: Problem, seed: int) -> None:
    G = metric(problem, seed)
    torch.testing.assert_close(score("kfac", with_metric(problem, G)), score("kfac", with_metric(problem, 1e-9 * G)))


def test_fewer_gradients_than_outputs_suffice() -> None:
    problem = Problem(3, 12, 30, 1)
    assert torch.isfinite(score("kfac", with_metric(problem, metric(problem, 1, rows=1)))).all()


def test_it_spares_what_the_answer_feels() -> None:
    """Of two units that lose the same, the one whose output does not matter goes first."""
    problem = Problem(4, 12, 8, 1)
    problem.W[:] = 0
    problem.W[0, 0] = problem.W[1, 1] = 1.0
    problem.W[2:, 2:] = 10.0
    G = torch.eye(8, dtype=torch.float64)
    G[0, 0] = 100.0
    order = order_of(score("kfac", with_metric(problem, G))).tolist()
    assert order.index(0) < order.index(1)


def test_gradients_are_needed() -> None:
    with pytest.raises(AssertionError, match="outputs"):
        score("kfac", with_metric(Problem(1, 6, 3, 1), None))
