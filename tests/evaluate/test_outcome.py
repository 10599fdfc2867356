"""The metrics equal scikit-learn and scipy on fixed answers."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from liar.evaluate.outcome import Outcome
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Sample


def _figures(items: Items, n: int, *metrics: MetricName) -> list[float]:
    outcome = Outcome(samples=[Sample("")] * n, items=items, answers=[""] * n, labels=[""] * n, right=None)
    return [figure.value for figure in outcome.figures(metrics)]


def _of_classes(answers: list[int], labels: list[int]) -> list[float]:
    right = [answer == label for answer, label in zip(answers, labels, strict=True)]
    items = Items(digest="", right=packed(right), positive=packed([label == 1 for label in labels]))
    return _figures(items, len(labels), "accuracy", "f1", "matthews")


draw = random.Random(0)
CLASSES = {
    "mixed": ([0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1]),
    "one class answered": ([1] * 7, [0, 1, 1, 0, 1, 1, 0]),
    "the other class answered": ([0] * 7, [0, 1, 1, 0, 1, 1, 0]),
    "one class to find": ([0, 1, 1, 0], [1, 1, 1, 1]),
    "nothing to find": ([0, 1, 1, 0], [0, 0, 0, 0]),
    "all right": ([0, 1, 1, 0], [0, 1, 1, 0]),
    "all wrong": ([1, 0, 0, 1], [0, 1, 1, 0]),
    "all right, one class": ([0, 0, 0], [0, 0, 0]),
    "a single item": ([1], [1]),
    "many": ([int(draw.random() < 0.4) for _ in range(1043)], [int(draw.random() < 0.6) for _ in range(1043)]),
}


@pytest.mark.parametrize("name", CLASSES)
def test_metrics_of_classes_are_those_of_scikit_learn(name: str) -> None:
    answers, labels = CLASSES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metrics that are undefined and zero there
        expected = [metric(labels, answers) for metric in (accuracy_score, f1_score, matthews_corrcoef)]
    assert _of_classes(answers, labels) == pytest.approx(expected, abs=1e-12)


def _of_numbers(predicted: list[float], wanted: list[float]) -> list[float]:
    return _figures(Items(digest="", predicted=predicted, wanted=wanted), len(wanted), "spearman", "pearson")


@pytest.mark.parametrize("n", [2, 3, 20, 1500])
def test_correlations_are_those_of_scipy(n: int) -> None:
    draw = np.random.default_rng(n)
    wanted = draw.integers(0, 26, n) / 5  # with ties, as in STS-B
    predicted = (wanted + draw.normal(0, 1, n)).astype(np.float32).astype(np.float64)
    predicted[: n // 5] = predicted[0]
    wanted[-1] += 1
    found = _of_numbers(predicted.tolist(), wanted.tolist())
    expected = [float(metric(predicted, wanted).statistic) for metric in (spearmanr, pearsonr)]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_neither_small_nor_large_numbers_matter(scale: float) -> None:
    predicted, wanted = [0.1, 0.4, 0.2, 0.9], [1.0, 3.0, 3.0, 4.0]
    found = _of_numbers([scale * (5 + number) for number in predicted], wanted)
    assert found == pytest.approx(_of_numbers(predicted, wanted), abs=1e-7)


def test_equal_numbers_correlate_with_nothing_and_can_be_stored() -> None:
    """scipy gives NaN, which JSON has no number for."""
    assert _of_numbers([0.3] * 4, [1, 2, 3, 4]) == _of_numbers([1, 2, 3, 4], [0.7] * 4) == [0, 0]
    assert _of_numbers([0.3], [1]) == [0, 0]
