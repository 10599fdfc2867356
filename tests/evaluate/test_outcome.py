"""The metrics equal scikit-learn, scipy, torchmetrics and the official script of SQuAD on fixed answers."""

from __future__ import annotations

import random
import re
import string
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torchmetrics.functional.classification import binary_f1_score, binary_matthews_corrcoef
from torchmetrics.functional.regression import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.text import squad

from liar.evaluate.items import items_of_classes
from liar.evaluate.outcome import Outcome
from liar.evaluate.spans import scores_of_answers
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Answer, Sample

NAMES = ("no", "yes")


def _figures(items: Items, n: int, *metrics: MetricName) -> list[float]:
    outcome = Outcome(samples=[Sample("")] * n, items=items, answers=[""] * n, labels=[""] * n, right=None)
    return [figure.value for figure in outcome.figures(metrics)]


def _of_classes(answers: list[int], labels: list[int]) -> list[float]:
    given, wanted = ([NAMES[number] for number in numbers] for numbers in (answers, labels))
    items = items_of_classes([Sample("")] * len(labels), wanted, given, NAMES)
    return _figures(items, len(labels), "accuracy", "f1", "matthews")


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
}


@pytest.mark.parametrize("name", CLASSES)
def test_metrics_of_classes_are_those_of_scikit_learn(name: str) -> None:
    answers, labels = CLASSES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metrics that are undefined and zero there
        expected = [metric(labels, answers) for metric in (accuracy_score, f1_score, matthews_corrcoef)]
    assert _of_classes(answers, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_many_classes_are_those_of_both_libraries(seed: int) -> None:
    draw = random.Random(seed)
    labels = [draw.randrange(2) for _ in range(1043)]
    answers = [label if draw.random() < 0.8 else draw.randrange(2) for label in labels]
    found = _of_classes(answers, labels)
    expected = [metric(labels, answers) for metric in (accuracy_score, f1_score, matthews_corrcoef)]
    assert found == pytest.approx(expected, abs=1e-12)
    given, wanted = torch.tensor(answers), torch.tensor(labels)
    of_torch = [float(metric(given, wanted)) for metric in (binary_f1_score, binary_matthews_corrcoef)]
    assert found[1:] == pytest.approx(of_torch, abs=1e-6)  # in single precision


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
    both = torch.tensor(predicted), torch.tensor(wanted)
    of_torch = [float(metric(*both)) for metric in (spearman_corrcoef, pearson_corrcoef)]
    assert found[0] == pytest.approx(of_torch[0], abs=1e-5)  # torchmetrics adds 1e-6 to the divisor
    assert found[1] == pytest.approx(of_torch[1], abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_neither_small_nor_large_numbers_matter(scale: float) -> None:
    predicted, wanted = [0.1, 0.4, 0.2, 0.9], [1.0, 3.0, 3.0, 4.0]
    found = _of_numbers([scale * (5 + number) for number in predicted], wanted)
    assert found == pytest.approx(_of_numbers(predicted, wanted), abs=1e-7)


def test_equal_numbers_correlate_with_nothing_and_can_be_stored() -> None:
    """scipy gives NaN, which JSON has no number for."""
    assert _of_numbers([0.3] * 4, [1, 2, 3, 4]) == _of_numbers([1, 2, 3, 4], [0.7] * 4) == [0, 0]
    assert _of_numbers([0.3], [1]) == [0, 0]


# -- answers: evaluate-v1.1.py of SQuAD, copied in its arithmetic ------------------------------------------------------


def _normalized(answer: str) -> str:
    plain = "".join(letter for letter in answer.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def _official_f1(prediction: str, truth: str) -> float:
    found, wanted = _normalized(prediction).split(), _normalized(truth).split()
    same = sum((Counter(found) & Counter(wanted)).values())
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(found), 1.0 * same / len(wanted)
    return (2 * precision * recall) / (precision + recall)


QUESTIONS = [
    ("The Norman Conquest", ["Norman conquest", "the conquest"]),
    ("in 1,066 A.D.", ["1066", "1066 AD"]),
    ("a red-brown fox", ["red brown fox"]),
    ("", ["something"]),
    ("nothing of it", ["something else", "more"]),
    ("an the a", ["the"]),
    ("one two two three", ["two two", "three two one"]),
    ("Émile  Zola", ["emile zola", "Émile Zola"]),
]


def _of_answers(questions: list[tuple[str, list[str]]]) -> list[float]:
    samples = [Sample("?", pair="", answers=tuple(Answer(text, 0) for text in truths)) for _, truths in questions]
    right, scores = scores_of_answers([answer for answer, _ in questions], samples)
    return _figures(Items(digest="", right=packed(right), scores=scores), len(questions), "answer-f1", "exact-match")


def test_metrics_of_answers_are_those_of_the_official_script() -> None:
    f1 = [max(_official_f1(answer, truth) for truth in truths) for answer, truths in QUESTIONS]
    exact = [max(_normalized(answer) == _normalized(truth) for truth in truths) for answer, truths in QUESTIONS]
    expected = [sum(scores) / len(QUESTIONS) for scores in (f1, exact)]
    assert _of_answers(QUESTIONS) == pytest.approx(expected, abs=1e-12)


def test_metrics_of_answers_with_words_are_those_of_torchmetrics() -> None:
    """Of two answers without words, torchmetrics has an F1 of one and the official script of SQuAD 1.1 zero."""
    questions = [(answer, truths) for answer, truths in QUESTIONS if _normalized(answer)]
    found = squad(
        [{"prediction_text": answer, "id": str(place)} for place, (answer, _) in enumerate(questions)],
        [
            {"answers": {"answer_start": [0] * len(truths), "text": truths}, "id": str(place)}
            for place, (_, truths) in enumerate(questions)
        ],
    )
    expected = [float(found[name]) / 100 for name in ("f1", "exact_match")]
    assert _of_answers(questions) == pytest.approx(expected, abs=1e-6)
