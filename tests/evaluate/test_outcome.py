"""Metrics equal scikit-learn and scipy; and which of the items on which the variants disagree are kept."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from liar.evaluate.outcome import Comparison, Outcome
from liar.results import MOST_CHANGES, VARIANTS, Change, Items
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


# -- items on which the variants disagree -----------------------------------------------------------------------------

NAMES = ("bad", "good", "fair")


def compared(samples: list[Sample], labels: list[str], answers: list[list[str]], right: list[Any]) -> list[Change]:
    """Changes of items, from the answers of each variant and which of them are right."""
    comparison = Comparison()
    for variant, given, flags in zip(VARIANTS, answers, right, strict=True):
        assert comparison.changes() == []
        comparison.note("task", variant, Outcome(samples, Items(digest=""), given, labels, flags))
    return comparison.changes()


def changes(*rows: tuple[int, int, int, int], text: str = "text") -> list[Change]:
    """Changes of items given as (label, answers of the dense, the pruned and the reconstructed model)."""
    labels, *answers = ([NAMES[number] for number in numbers] for numbers in zip(*rows, strict=True))
    samples = [Sample(f"{text} {number}", label) for number, label in enumerate(labels)]
    right = [[answer == label for answer, label in zip(given, labels, strict=True)] for given in answers]
    return compared(samples, labels, answers, right)


def test_a_change_carries_text_label_and_answers_by_name() -> None:
    assert changes((1, 1, 0, 1)) == [
        Change(
            task="task",
            text="text 0",
            label="good",
            answers={"dense": "good", "pruned": "bad", "reconstructed": "good"},
        )
    ]


def test_only_answers_that_turn_right_or_wrong_are_kept() -> None:
    agreed = [(1, 1, 1, 1), (1, 0, 0, 0)]
    wrong_in_other_words = (1, 0, 2, 0)
    mended_by_chance = (1, 0, 1, 1)
    assert changes(*agreed, wrong_in_other_words, mended_by_chance) == []


def test_the_first_of_each_group_are_kept_once_and_in_order() -> None:
    """Items broken and not repaired fill two groups; the mended items after them must still be kept."""
    many = MOST_CHANGES + 5
    broken, mended, lost = (0, 0, 1, 1), (0, 1, 2, 0), (0, 1, 0, 1)
    kept = changes(*[broken] * many, *[lost] * many, *[mended] * many)
    expected = [*range(MOST_CHANGES), *range(2 * many, 2 * many + MOST_CHANGES)]
    assert [change.text for change in kept] == [f"text {number}" for number in expected]


def test_long_texts_are_cut() -> None:
    (change,) = changes((1, 1, 0, 1), text="long " * 200)
    assert len(change.text) <= 400
    assert change.text.endswith("long…")


def test_an_answer_may_be_right_without_being_the_label() -> None:
    """The repaired model gives another accepted answer: it is mended, and the record says who is right."""
    sample = Sample("Who?", pair="by the old mill " * 60)
    (change,) = compared(
        [sample], ["Ada Lovelace"], [["Ada Lovelace"], ["the mill"], ["Ada"]], [[True], [False], [True]]
    )
    assert change.right == {"dense": True, "pruned": False, "reconstructed": True}
    assert change.groups == ["broken", "mended"]
    assert change.pair is not None
    assert change.pair.endswith("…")
    assert len(change.pair) <= 400


def test_who_is_right_is_not_kept_if_the_label_says_it() -> None:
    (change,) = compared([Sample("Who?")], ["Ada"], [["Ada"], ["Bob"], ["Bob"]], [[True], [False], [False]])
    assert change.right is None
    assert change.groups == ["broken", "lost"]


def test_numbers_that_differ_are_no_changes() -> None:
    assert compared([Sample("A film.")], ["1.5"], [["1.49"], ["0.20"], ["1.31"]], [None] * 3) == []
