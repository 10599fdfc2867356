"""The headline: short, and of the figures of the run."""

from __future__ import annotations

import re

import pytest

from liar.report.headline import gains_in_words, headline, headline_between, in_all_words, went
from liar.report.interpolation import interpolated, of_other_ratios
from liar.report.words.metric_sentences import value_words
from liar.results import VARIANTS, Quartiles
from liar.store import RunStore
from tests.fakes import language_run
from tests.shipped import NO_FOLDER, shipped_run

SHIPPED = [run for run in RunStore(NO_FOLDER).runs() if run.evaluations]
CHAIN = language_run(vocabulary="20000", layers=0.1, targets="ffn", ratio=0.42)


@pytest.mark.parametrize("run", [*SHIPPED, CHAIN], ids=lambda run: run.spec.key[:8])
def test_it_has_at_most_14_words_and_three_figures_beside_the_ratio(run: object) -> None:
    sentence = headline(run)  # type: ignore[arg-type]
    words = [word for word in sentence.replace(" %", "%").split() if any(map(str.isalnum, word))]
    assert len(words) <= 14, sentence
    ratios = 1 + bool(run.spec.layers)  # type: ignore[attr-defined]
    assert len(re.findall(r"(?<![\w.,@])\d", sentence)) <= 3 + ratios, sentence


def test_a_chain_names_each_kind_that_went() -> None:
    assert went(CHAIN.spec) == "Tokens, 10 % of layers, 42 % of neurons"
    assert went(CHAIN.spec.model_copy(update={"layers": 0.0})) == "Tokens, 42 % of the neurons"


def test_it_states_the_values_of_the_first_task() -> None:
    run = shipped_run("demo/minilm-sentiment")
    whole, cut, repaired = (value_words(item) for item in run.evaluations if item.variant in VARIANTS)
    assert headline(run) == f"50 % of the units gone: {whole} correct, cut {cut}, repaired {repaired}."
    bare = run.model_copy(update={"spec": run.spec.model_copy(update={"reconstruction": "none"})})
    assert headline(bare).endswith(f"cut {cut}, not repaired.")
    assert headline(run.model_copy(update={"evaluations": []})) == "50 % of the units gone."
    sites = [site.model_copy(update={"kept": site.units}) for site in run.sites]
    assert headline(run.model_copy(update={"sites": sites})) == "Nothing is gone: the model is whole."


def test_between_two_runs_it_states_interpolated_values() -> None:
    run = shipped_run("demo/minilm-sentiment")
    runs = of_other_ratios(run.spec, RunStore(NO_FOLDER).summaries())
    spec = run.spec.model_copy(update={"ratio": 0.65})
    cut, repaired = (interpolated(spec, runs, variant)["sentiment"] for variant in VARIANTS[1:])
    said = f"65 % of the units gone: cut about {100 * cut:.1f} % correct, repaired about {100 * repaired:.1f} %."
    assert headline_between(spec, runs) == said
    assert headline_between(spec.model_copy(update={"ratio": 0.94}), runs) == ""


def test_a_speed_that_is_noise_is_not_stated() -> None:
    run = shipped_run("demo/minilm-sentiment")
    assert re.fullmatch(r"\d+ % smaller, \d\.\d times as fast\.", gains_in_words(run.totals, run.gains))
    noisy = [gain.model_copy(update={"gain": Quartiles(lower=0.5, median=1.5, upper=2.5)}) for gain in run.gains]
    assert "fast" not in gains_in_words(run.totals, noisy)


def test_all_other_words_hold_the_recipe_and_the_warnings() -> None:
    run = shipped_run("demo/smollm2-135m").model_copy(update={"warnings": ["Look out."]})
    words = in_all_words(run)
    assert "out-of-domain perplexity" in words[0]
    assert "kfac criterion" in words[1]
    assert words[-1] == "Look out."
