"""Sentences on what a run found beside its metrics; int8 copies differ by no more than their standard errors say."""

from __future__ import annotations

import pytest

from liar.report.words.findings import findings, quantizations
from tests.fakes import classifier_run, language_run, quantized_run, with_values


def test_a_changed_gain_is_one_sentence() -> None:
    assert findings(language_run()) == []
    (sentence,) = findings(language_run().model_copy(update={"attenuation": 0.9286}))
    assert sentence.startswith("The gain of the last norm is 0.93 times the dense one")


def test_costs_and_savings_are_stated() -> None:
    assert quantizations(quantized_run()) == [
        "Int8 weights: +0.50 perplexity on the dense model and +0.50 on the reconstructed one, both within the standard "
        "errors; 99 % of what the repair recovered remains.",
        "They take 220 instead of 538 MB of memory in the dense model and 179 instead of 377 MB in the smaller one; "
        "timed in turns, reading takes 1.15 times as long in the first and as long as before in the second.",
    ]


@pytest.mark.parametrize(
    ("dense", "reconstructed", "words"),
    [
        (15.9, 110.7, "-0.30 perplexity on the dense model and +68.30 on the reconstructed one, the first within"),
        (20.0, 42.4, "+3.80 perplexity on the dense model and +0.00 on the reconstructed one, the second within"),
        (20.0, 80.0, "both beyond the standard errors; 45 % of what the repair recovered remains."),
        (16.2, 120.0, "-14 % of what the repair recovered"),
    ],
)
def test_a_cost_is_measured_by_its_standard_error(dense: float, reconstructed: float, words: str) -> None:
    first, _ = quantizations(quantized_run(dense_int8=dense, reconstructed_int8=reconstructed))
    assert words in first


def test_what_was_not_measured_has_no_sentence() -> None:
    assert quantizations(language_run()) == quantizations(classifier_run()) == []
    untimed = quantized_run().model_copy(update={"gains": []})
    assert quantizations(untimed)[1].endswith("in the smaller one.")


def test_a_repair_that_gave_back_nothing_has_nothing_to_lose() -> None:
    run = quantized_run()
    first, _ = quantizations(with_values(run, reconstructed=130, reconstructed_int8=130))
    assert "recovered" not in first
    bare = run.model_copy(update={"spec": run.spec.model_copy(update={"reconstruction": "none"})})
    assert "on the pruned one" in quantizations(bare)[0]
    assert "recovered" not in quantizations(bare)[0]
