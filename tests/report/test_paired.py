"""Metrics of stored items equal those of scikit-learn and SciPy; standard errors equal closed forms and simulations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from liar.results import Evaluation, Items
from liar.statistics import paired
from liar.statistics.compare import difference, recovery_of
from liar.statistics.paired import bits, packed, scores_of, stderr_of, stderr_of_sum
from liar.tasks.metrics import METRICS, MetricName

Numbers = NDArray[np.float64]

OF_CLASSES: dict[MetricName, Callable[..., float]] = {"f1": f1_score, "matthews": matthews_corrcoef}
OF_NUMBERS: dict[MetricName, Callable[..., float]] = {
    "spearman": lambda wanted, predicted: spearmanr(wanted, predicted).statistic,
    "pearson": lambda wanted, predicted: pearsonr(wanted, predicted).statistic,
}

FLAGS = st.lists(st.booleans(), min_size=1, max_size=70)


# -- bits --------------------------------------------------------------------------------------------------------------


@given(flags=FLAGS)
def test_bits_are_the_inverse_of_packed(flags: list[bool]) -> None:
    assert bits(packed(flags), len(flags)) == flags
    assert Items(digest="", right=packed(flags)).right == f"{int(packed(flags), 16):0{-(-len(flags) // 4)}x}"


# -- values ------------------------------------------------------------------------------------------------------------


def of_classes(predicted: Sequence[int] | Numbers, true: Sequence[int] | Numbers) -> Items:
    right = [bool(one == other) for one, other in zip(predicted, true, strict=True)]
    return Items(digest="texts", right=packed(right), positive=packed([bool(label) for label in true]))


def of_numbers(predicted: Numbers, wanted: Numbers) -> Items:
    return Items(digest="texts", predicted=predicted.tolist(), wanted=wanted.tolist())


def value(metric: MetricName, items: Items, weights: Numbers) -> float:
    """A metric that is no mean, with each item counted ``weights`` times."""
    return float(paired._VALUES[metric](items, len(weights), weights[None])[0])


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40),
    metric=st.sampled_from(list(OF_CLASSES)),
)
def test_metrics_of_classes_are_those_of_scikit_learn(rows: list[tuple[int, int, int]], metric: MetricName) -> None:
    """Of all items once, and of a resample in which each occurs zero to three times."""
    predicted, true, weights = (np.array(column) for column in zip(*rows, strict=True))
    items = of_classes(predicted, true)
    for times in (np.ones(len(rows), dtype=int), weights):
        assume(times.sum() > 0)
        options = {"zero_division": 0} if metric == "f1" else {}
        expected = OF_CLASSES[metric](np.repeat(true, times), np.repeat(predicted, times), **options)
        assert value(metric, items, times.astype(float)) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 40),
    decimals=st.integers(0, 3),
    metric=st.sampled_from(list(OF_NUMBERS)),
)
def test_correlations_are_those_of_scipy(seed: int, n: int, decimals: int, metric: MetricName) -> None:
    """Few decimals give ties, whose rank is the mean of their places."""
    random = np.random.default_rng(seed)
    wanted = random.normal(size=n).round(decimals)
    predicted = (wanted + random.normal(size=n)).round(decimals)
    items = of_numbers(predicted, wanted)
    for times in (np.ones(n, dtype=int), random.multinomial(n, np.full(n, 1 / n))):
        pair = np.repeat(wanted, times), np.repeat(predicted, times)
        assume(all(len(set(each)) > 1 for each in pair))
        assert value(metric, items, times.astype(float)) == pytest.approx(OF_NUMBERS[metric](*pair), abs=1e-12)


def test_a_metric_without_spread_is_zero() -> None:
    """SciPy gives NaN, which JSON has no number for."""
    assert value("matthews", of_classes([1, 1, 1], [1, 0, 1]), np.ones(3)) == 0
    assert value("f1", of_classes([0, 0, 0], [0, 0, 0]), np.ones(3)) == 0
    for metric in OF_NUMBERS:
        for pair in ((np.ones(3), np.arange(3.0)), (np.arange(3.0), np.full(3, 0.7)), (np.ones(1), np.ones(1))):
            assert value(metric, of_numbers(*pair), np.ones(len(pair[0]))) == 0


@pytest.mark.parametrize("metric", OF_NUMBERS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_neither_small_nor_large_numbers_matter(metric: MetricName, scale: float) -> None:
    predicted, wanted = np.array([0.1, 0.4, 0.2, 0.9]), np.array([1.0, 3.0, 3.0, 4.0])
    scaled = of_numbers(scale * (5 + predicted), wanted)
    assert value(metric, scaled, np.ones(4)) == pytest.approx(OF_NUMBERS[metric](wanted, predicted), abs=1e-7)


# -- closed forms ------------------------------------------------------------------------------------------------------


@given(answers=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=200))
def test_two_accuracies_differ_by_the_error_of_mcnemars_test(answers: list[tuple[bool, bool]]) -> None:
    """Only the answers that one model alone has right count: b of the first model and c of the second."""
    first, second = (list(column) for column in zip(*answers, strict=True))
    n, b, c = len(answers), answers.count((True, False)), answers.count((False, True))
    terms = [(-1.0, Items(digest="", right=packed(first))), (1.0, Items(digest="", right=packed(second)))]
    expected = math.sqrt(max(b + c - (b - c) ** 2 / n, 0) / (n * (n - 1)))
    assert stderr_of_sum("accuracy", terms, n) == pytest.approx(expected, abs=1e-9)


@given(flags=FLAGS)
def test_the_error_of_one_accuracy_is_binomial(flags: list[bool]) -> None:
    share = fmean(flags)
    expected = math.sqrt(share * (1 - share) / len(flags))
    assert stderr_of("accuracy", Items(digest="", right=packed(flags)), len(flags)) == pytest.approx(expected)


def test_the_error_of_a_mean_is_that_of_its_scores() -> None:
    scores = [0.0, 0.4, 1.0, 0.25]
    assert stderr_of("answer-f1", Items(digest="", scores=scores), 4) == pytest.approx(stdev(scores) / 2)
    assert scores_of("answer-f1", Items(digest="", right="f", scores=scores), 4) == scores
    assert scores_of("exact-match", Items(digest="", right="a", scores=scores), 4) == [1, 0, 1, 0]


def test_an_error_that_cannot_be_known_is_none() -> None:
    known, unknown = Items(digest="", right="f0"), Items(digest="")
    assert stderr_of_sum("accuracy", [(1.0, known)], 1) is None
    assert stderr_of_sum("accuracy", [(-1.0, known), (1.0, unknown)], 8) is None
    assert stderr_of_sum("f1", [(1.0, known)], 8) is None, "which class is true is not known"
    assert stderr_of_sum("spearman", [(1.0, known)], 8) is None
    assert stderr_of("accuracy", known, 8) > 0
    assert stderr_of("matthews", of_classes([1], [1]), 1) == 0


# -- against simulation ------------------------------------------------------------------------------------------------

DATA_SETS = 1_000
"""Data sets whose spread is the true standard error, exact to 2.2 %."""

ESTIMATES = 60
"""Data sets whose estimated error is averaged."""


@dataclass(frozen=True)
class World:
    """A way to draw data sets of ``n`` items, answered by three models that make similar mistakes."""

    metric: MetricName
    n: int
    draw: Callable[[np.random.Generator, int], list[Items]]

    def evaluations(self, random: np.random.Generator) -> list[Evaluation]:
        """Evaluations of the dense, the pruned and the reconstructed model on a new data set."""
        return [self.evaluated(items) for items in self.draw(random, self.n)]

    def evaluated(self, items: Items) -> Evaluation:
        scores = scores_of(self.metric, items, self.n)
        figure = value(self.metric, items, np.ones(self.n)) if scores is None else fmean(scores)
        figure = math.exp(figure) if METRICS[self.metric].by_ratio else figure
        facts: dict[str, Any] = {"task": "task", "variant": "dense", "stderr": 0.0}
        return Evaluation(metric=self.metric, value=figure, n=self.n, items=items, **facts)


def draw_accuracy(random: np.random.Generator, n: int) -> list[Items]:
    difficulty = random.normal(size=n)
    return [
        Items(digest="texts", right=packed((difficulty + 0.6 * random.normal(size=n) < ability).tolist()))
        for ability in (1.4, 0.0, 0.8)
    ]


def draw_windows(random: np.random.Generator, n: int) -> list[Items]:
    text = random.normal(3.0, 0.4, size=n)
    return [
        Items(digest="texts", nll=(text + worse + random.normal(0, 0.15, size=n)).tolist()) for worse in (0.0, 0.9, 0.3)
    ]


def draw_classes(random: np.random.Generator, n: int) -> list[Items]:
    true = random.random(n) < 0.35
    seen = true + 0.4 * random.normal(size=n)
    return [of_classes(seen + spread * random.normal(size=n) > 0.5, true) for spread in (0.2, 1.0, 0.5)]


def draw_numbers(random: np.random.Generator, n: int) -> list[Items]:
    wanted = random.normal(size=n).round(1)
    seen = wanted + 0.5 * random.normal(size=n)
    return [of_numbers(seen + spread * random.normal(size=n), wanted) for spread in (0.2, 1.5, 0.6)]


WORLDS = [
    World("accuracy", 150, draw_accuracy),
    World("perplexity", 80, draw_windows),
    World("f1", 400, draw_classes),
    World("matthews", 400, draw_classes),
    World("spearman", 150, draw_numbers),
    World("pearson", 150, draw_numbers),
]


@cache
def drawn(world: World) -> list[list[Evaluation]]:
    """The same data sets for every test."""
    random = np.random.default_rng(1)
    return [world.evaluations(random) for _ in range(DATA_SETS)]


def share(dense: Evaluation, pruned: Evaluation, reconstructed: Evaluation) -> float:
    return (pruned.value - reconstructed.value) / (pruned.value - dense.value)


def error_of_share(*evaluations: Evaluation) -> float | None:
    found = recovery_of(*evaluations)
    assert found is not None
    assert found.share == pytest.approx(share(*evaluations))
    return found.stderr


Figure, Error = Callable[..., float], Callable[..., float | None]
ESTIMATED: dict[str, tuple[Figure, Error, list[World]]] = {
    "difference": (
        lambda dense, pruned, _: pruned.value - dense.value,
        lambda dense, pruned, _: difference(dense, pruned).stderr,
        WORLDS,
    ),
    "one model": (
        lambda dense, *_: dense.value,
        lambda dense, *_: stderr_of(dense.metric, dense.items, dense.n),
        WORLDS[2:],
    ),
    "ratio": (
        lambda dense, pruned, _: pruned.value / dense.value,
        lambda dense, pruned, _: difference(dense, pruned).ratio_stderr,
        WORLDS[1:2],
    ),
    "recovery": (share, error_of_share, WORLDS),
}
"""A figure of three evaluations, its estimated standard error, and where the two are compared."""


@pytest.mark.parametrize(
    ("what", "world"),
    [(what, world) for what, (*_, worlds) in ESTIMATED.items() for world in worlds],
    ids=lambda each: each if isinstance(each, str) else each.metric,
)
def test_an_error_is_the_spread_over_data_sets(what: str, world: World) -> None:
    """The mean of the estimates, within 10 %; without pairing it would be far more, since the models make the same mistakes."""
    figure, error, _ = ESTIMATED[what]
    spread = stdev(figure(*evaluations) for evaluations in drawn(world))
    estimates = [error(*evaluations) for evaluations in drawn(world)[:ESTIMATES]]
    assert fmean(estimate or 0.0 for estimate in estimates) == pytest.approx(spread, rel=0.1)


def test_a_bootstrap_is_the_same_each_time() -> None:
    items = draw_classes(np.random.default_rng(6), 50)[1]
    first = stderr_of("matthews", items, 50)
    paired._bootstrap.cache_clear()
    assert stderr_of("matthews", items, 50) == first > 0
