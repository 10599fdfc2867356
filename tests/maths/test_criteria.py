"""Scores of the criteria compared with their formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given

from liar.choices import IMPORTANCE, Criterion
from liar.explore.allocation import Candidate, allocate
from liar.maths.criteria import CRITERIA, Evidence, deviation, order_of, score
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
