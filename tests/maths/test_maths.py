"""The maths compared with direct float64 computations: properties that hold for any data, weights and mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from liar.errors import CalibrationError, EmptySiteError, NonFiniteError, SingularSystemError
from liar.explore.allocation import Candidate, allocate
from liar.explore.reconstructions import REPAIRS
from liar.maths.choice_errors import CHOICE_RECONSTRUCTIONS, choice_errors
from liar.maths.criteria import CRITERIA, Evidence, deviation, order_of, score
from liar.maths.error_curves import CURVES, error_curves
from liar.maths.moments import Moments, MomentsAccumulator, SiteMomentsAccumulator
from liar.maths.reconstruct import (
    RIDGE,
    SOLVERS,
    cholesky,
    complement,
    reconstruct,
    reconstruct_all,
    relative_errors,
    ridge_of,
    ridge_share,
)
from liar.sites import Site
from liar.spec import GRADIENT_CRITERIA, RECONSTRUCTIONS, Criterion, Reconstruction
from tests.maths.problem import TOLERANCE, Problem, close, problems


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
    if len(kept) < problem.W.shape[1]:
        return
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


def test_the_ridge_shrinks_the_update_not_the_map() -> None:
    problem = Problem(4, 12, 5, 1)
    kept = problem.kept(6)
    solution = reconstruct(problem.moments, problem.W, kept, ridge=1e9)
    torch.testing.assert_close(solution.weight, problem.W[kept], rtol=1e-6, atol=1e-6)


@given(problems, st.sampled_from([0.0, RIDGE]))
def test_curves_equal_direct_solves(problem: Problem, ridge: float) -> None:
    """Each curve equals the error plus the ridge penalty of the weight change, which is zero for none and bias."""
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


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name not in GRADIENT_CRITERIA])
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


def test_singular_and_broken_systems_are_named() -> None:
    with pytest.raises(SingularSystemError, match=r"layers\.3\.ffn.*1,234 tokens"):
        cholesky(-torch.eye(4, dtype=torch.float64), None, site="layers.3.ffn", tokens=1234)
    with pytest.raises(NonFiniteError, match="NaN"):
        cholesky(torch.full((2, 2), float("nan")), None, site="layers.0.ffn", tokens=5)
    with pytest.raises(EmptySiteError):
        reconstruct(Moments.of(torch.randn(9, 4)), torch.randn(4, 2), torch.tensor([], dtype=torch.long))
    with pytest.raises(CalibrationError):
        MomentsAccumulator(3).finish()
    accumulator = MomentsAccumulator(2)
    accumulator.update(torch.tensor([[1.0, float("inf")], [2.0, 3.0]]))
    with pytest.raises(NonFiniteError, match=r"layers\.1\.ffn"):
        accumulator.finish("layers.1.ffn")


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


def test_fewer_tokens_than_channels_still_solve_by_the_ridge() -> None:
    X, W = torch.randn(5, 12, dtype=torch.float64), torch.randn(12, 3, dtype=torch.float64)
    solution = reconstruct(Moments.of(X), W, torch.arange(8))
    assert torch.isfinite(solution.weight).all()
