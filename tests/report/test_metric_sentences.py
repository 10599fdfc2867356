"""Sentences and figures of one metric."""

from __future__ import annotations

from statistics import stdev
from typing import Any

import pytest

from liar.report.words import metric_sentences as words
from liar.results import Items, RunResult
from liar.statistics.compare import Recovery
from liar.tasks.metrics import METRICS
from tests.fakes import classifier_run, language_run, with_answers, with_values


@pytest.mark.parametrize(
    ("run", "task", "share"),
    [
        (language_run(), "perplexity", (110.7 - 42.4) / (110.7 - 16.2)),
        (classifier_run(), "sentiment", (0.847 - 0.808) / (0.863 - 0.808)),
        (with_values(language_run(), 10, 50, 70), "perplexity", -0.5),
        (with_values(classifier_run(), 0.8, 0.6, 0.9), "sentiment", 1.5),
        (with_values(language_run(), 20, 20, 15), "perplexity", None),
        (with_values(language_run(), 20, 15, 25), "perplexity", None),
        (with_values(classifier_run(), 0.8, 0.85, 0.7), "sentiment", None),
        (with_values(classifier_run(), 0.86, 0.85, 0.84), "sentiment", None),
        (with_values(classifier_run(), 0.86, 0.80, 0.81), "sentiment", None),
        (language_run(), "topic", None),
        (language_run().model_copy(update={"evaluations": language_run().evaluations[:2]}), "perplexity", None),
    ],
)
def test_recovery_is_the_share_of_what_pruning_broke(run: RunResult, task: str, share: float | None) -> None:
    """None if pruning lost nothing, if nothing was measured, or if the change may be due to chance."""
    found = words.recovery(run, task)
    assert (found and found.share) == (share and pytest.approx(share))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (language_run(), "the repair recovered 72 % of what pruning broke"),
        (with_values(language_run(), 10, 50, 70), "the repair broke 50 % more"),
        (language_run(reconstruction="none"), None),
        (with_values(classifier_run(), 0.86, 0.85, 0.84), "what pruning broke lies within the standard error"),
        (with_values(classifier_run(), 0.86, 0.80, 0.81), "the repair changed no more than the standard error"),
        (with_values(classifier_run(reconstruction="none"), 0.86, 0.85, 0.85), None),
    ],
)
def test_a_repair_is_described_by_what_it_changed(run: RunResult, expected: str | None) -> None:
    """Each accuracy has a standard error of one percent, so a difference of one percent may be chance."""
    assert words.repair(run, run.evaluations[0].task) == expected


def test_single_answers_settle_what_separate_errors_leave_open() -> None:
    """Of 1,200 texts, twelve change from right to wrong and back and none the other way: one percent, but not chance."""
    right = "1" * 1032 + "0" * 168
    run = with_answers(classifier_run(), right, "0" * 12 + right[12:], right)
    assert words.recovery(run, "sentiment") == Recovery(pytest.approx(1), pytest.approx(0))
    assert words.repair(run, "sentiment") == "the repair recovered 100 ± 0 % of what pruning broke"


def test_a_recovery_has_its_paired_standard_error() -> None:
    """Of 100 texts pruning breaks 40 and the repair mends 20 of these: the others add nothing to the error."""
    run = with_answers(classifier_run(), "1" * 100, "0" * 40 + "1" * 60, "1" * 20 + "0" * 20 + "1" * 60)
    terms = [-0.5 / 0.4] * 20 + [0.5 / 0.4] * 20 + [0.0] * 60  # (1 - R) pruned - reconstructed + R dense
    error = stdev(terms) / 10
    assert words.recovery(run, "sentiment") == Recovery(pytest.approx(0.5), pytest.approx(error))
    assert words.repair(run, "sentiment") == f"the repair recovered 50 ± {100 * error:.0f} % of what pruning broke"
    worse = with_answers(classifier_run(), "1" * 100, "0" * 40 + "1" * 60, "0" * 60 + "1" * 40)
    repair = words.repair(worse, "sentiment")
    assert repair is not None
    assert repair.startswith("the repair broke 50 ± ")


def test_a_metric_stands_beside_the_dense_one() -> None:
    run = language_run()
    assert [words.beside_dense(run, item) for item in run.evaluations] == ["1.0 x dense", "6.8 x dense", "2.6 x dense"]
    without = run.model_copy(update={"evaluations": run.evaluations[1:]})
    assert words.beside_dense(without, run.evaluations[1]) is None
    plain = classifier_run()
    assert [words.beside_dense(plain, item) for item in plain.evaluations] == ["100 %", "94 %", "98 %"]
    answered = with_answers(plain, "1111111100", "1111110000", "1111110001")
    assert [words.beside_dense(answered, item) for item in answered.evaluations] == [
        *("100 %", "75 %, -20.0 ± 13.3 points", "87 %, -10.0 ± 18.0 points"),
    ]
    read = [
        item.model_copy(update={"n": 3, "items": Items(digest="windows", nll=[2.0, 3.0 + place, 4.0])})
        for place, item in enumerate(run.evaluations)
    ]
    read_run = run.model_copy(update={"evaluations": read})
    assert words.beside_dense(read_run, read[1]) == "6.83 ± 2.28 x dense"


def test_a_change_names_its_standard_error() -> None:
    plain, answered = classifier_run(), with_answers(classifier_run(), "1111111100", "1111110000", "1111110001")
    assert words.metric_change(*plain.evaluations[1:]) == "+3.9 % (no paired standard error is known)"
    dense, pruned, _ = answered.evaluations
    assert words.metric_change(dense, pruned) == "-20.0 % (paired standard error 13.3 %)"
    assert words.metric_change(dense, dense) == "0.0 % (paired standard error 0.0 %)"
    other = pruned.model_copy(update={"items": Items(digest="other texts", right="f")})
    assert words.metric_change(dense, other) == "-20.0 % (standard error 1.4 %; measured on different items)"


@pytest.mark.parametrize(
    ("run", "facts", "expected"),
    [
        (language_run(), {}, "perplexity, 20 windows of 256 tokens"),
        (
            language_run(),
            {"source": "wiki", "separator": "document"},
            "perplexity, 20 windows of 256 tokens of Wikipedia leads with document tokens between texts",
        ),
        (classifier_run(), {}, "sentiment accuracy, 1,200 texts"),
        (
            classifier_run(),
            {"available": 1_590, "sequence_length": 256, "cut": 3},
            "sentiment accuracy, 1,200 of 1,590 texts of at most 256 tokens, 3 cut",
        ),
        (
            classifier_run(),
            {"available": 1_200, "sequence_length": 256, "cut": 0},
            "sentiment accuracy, 1,200 texts of at most 256 tokens",
        ),
        (classifier_run(), {"task": "span", "metric": "answer-f1"}, "span F1 of answers, 1,200 questions"),
    ],
)
def test_a_metric_states_how_much_of_which_text_was_read(run: RunResult, facts: dict[str, Any], expected: str) -> None:
    assert words.measurement(run.evaluations[0].model_copy(update=facts)) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("films", "film reviews"),
        ("editorials, products, tweets", "newspaper editorials, product reviews and tweets"),
        ("own.txt", "own.txt"),
        ("wiki, own.txt", "wiki, own.txt"),
    ],
)
def test_texts_of_the_bundle_have_titles(source: str, expected: str) -> None:
    assert words.source_words(source) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "Without knowledge: chance 50.0 %."),
        ({"majority": 0.54}, "Without knowledge: chance 50.0 %, most frequent label 54.0 %."),
        ({"task": "mnli"}, "Without knowledge: chance 33.3 %."),
        ({"task": "span", "metric": "answer-f1"}, None),
        ({"task": "wiki-choice"}, "Without knowledge: chance 25.0 %."),
        ({"task": "wiki-choice", "metric": "normalized-accuracy"}, "Without knowledge: chance 25.0 %."),
        ({"task": "cola", "metric": "matthews"}, f"Without knowledge: chance {METRICS['matthews'].words(0)}."),
        ({"task": "rating", "metric": "pearson"}, None),
        ({"task": "perplexity", "metric": "perplexity"}, None),
    ],
)
def test_what_answers_without_knowledge_reach(facts: dict[str, Any], expected: str | None) -> None:
    assert words.baseline(classifier_run().evaluations[0].model_copy(update=facts)) == expected
