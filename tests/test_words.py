"""The sentences say what the figures say."""

from __future__ import annotations

import pytest

from liar import words
from tests.fakes import classifier_run, language_run


def test_verdict_of_a_language_model() -> None:
    assert words.verdict(language_run()) == (
        "Half of the neurons gone: perplexity 16.2 → 110.7, repaired 42.4; 30 % fewer parameters."
    )


def test_verdict_of_a_classifier() -> None:
    sentence = words.verdict(classifier_run())
    assert "sentiment accuracy 86.3 % → 80.8 %, repaired 84.7 %" in sentence
    assert "25 % fewer parameters" in sentence


def test_heads_and_neurons_are_told_apart_where_their_shares_differ() -> None:
    # 4 of 9 heads and 768 of 1,536 neurons go.
    sentence = words.verdict(classifier_run())
    assert sentence.startswith("44 % of the heads and half of the neurons gone")


@pytest.mark.parametrize(
    ("kept", "said"),
    [(1152, "A quarter of the neurons"), (1024, "A third of the neurons"), (900, "41 % of the neurons")],
)
def test_shares_have_names_where_people_have_them(kept: int, said: str) -> None:
    run = language_run()
    sites = [site.model_copy(update={"kept": kept}) for site in run.sites]
    assert words.verdict(run.model_copy(update={"sites": sites})).startswith(said)


def test_a_run_that_measured_nothing_still_has_a_verdict() -> None:
    sentence = words.verdict(language_run().model_copy(update={"evaluations": []}))
    assert sentence == "Half of the neurons gone; 30 % fewer parameters."


def test_metrics_carry_n_and_length() -> None:
    assert words.measurement(language_run(), "perplexity") == "perplexity, 20 windows of 256 tokens"
    assert "1,200" in words.measurement(classifier_run(), "sentiment")


def test_the_recipe_names_every_choice() -> None:
    spec = language_run(criterion="wanda", seed=7).spec
    sentence = words.recipe(language_run(criterion="wanda", seed=7))
    for choice in (spec.model, spec.criterion, spec.allocation, spec.reconstruction, spec.schedule, "seed 7", "12,288"):
        assert str(choice) in sentence


@pytest.mark.parametrize(("seconds", "said"), [(3, "a few seconds"), (42, "about 40 s"), (200, "about 3 min")])
def test_estimates_are_no_more_exact_than_they_deserve(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said
