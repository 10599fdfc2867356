"""Sentences about a run agree with its figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from liar.explore.forecast import Forecast
from liar.report.words import sentences as words
from liar.report.words.metric_sentences import percent
from liar.report.words.sentences import run_labels, short_recipe
from liar.results import CalibrationPart, CalibrationText, RunResult
from liar.spec import PruneSpec
from tests.fakes import classifier_run, gain, language_run, speed


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            language_run(),
            "Half of the neurons gone: perplexity 16.2 → 110.7, repaired 42.4; 30 % fewer parameters.",
        ),
        (
            classifier_run(),
            "44 % of the heads and half of the neurons gone: sentiment accuracy 86.3 % → 80.8 %, repaired 84.7 %; "
            "25 % fewer parameters; 1.20 times as fast with one text at a time (1.17 to 1.25 in turns).",
        ),
        (
            language_run().model_copy(update={"evaluations": []}),
            "Half of the neurons gone; 30 % fewer parameters.",
        ),
    ],
    ids=["language model", "classifier", "nothing measured"],
)
def test_a_verdict_is_one_sentence(run: RunResult, sentence: str) -> None:
    """Heads and neurons are named apart if their shares differ: of the classifier's go 4 of 9 and 768 of 1,536."""
    assert words.verdict(run) == sentence


@pytest.mark.parametrize(
    ("quartiles", "expected"),
    [
        ((1.38, 1.41, 1.46), "1.41 times as fast at reading a prompt (1.38 to 1.46 in turns)"),
        ((0.49, 0.5, 0.52), "slower: 0.50 times as fast at reading a prompt (0.49 to 0.52 in turns)"),
        ((0.98, 1.01, 1.03), "not measurably faster at reading a prompt (0.98 to 1.03 times in turns)"),
        ((1.001, 1.01, 1.02), "not measurably faster at reading a prompt (1.00 to 1.02 times in turns)"),
        ((0.99, 0.995, 0.999), "not measurably faster at reading a prompt (0.99 to 1.00 times in turns)"),
        ((0.84, 1.2, 1.3), "the machine was too noisy to measure how fast (0.84 to 1.30 times in turns)"),
        ((1.1, 1.7, 2.3), "the machine was too noisy to measure how fast (1.10 to 2.30 times in turns)"),
    ],
    ids=["faster", "slower", "tie", "hair faster", "hair slower", "both ways", "wide"],
)
def test_a_speed_is_no_better_than_its_measurement(quartiles: tuple[float, float, float], expected: str) -> None:
    timed = language_run().model_copy(update={"gains": [gain("dense", "reconstructed", *quartiles)]})
    assert words.verdict(timed).endswith(f"; 30 % fewer parameters; {expected}.")


def test_times_that_were_not_taken_in_turns_give_no_gain() -> None:
    """As in files of an earlier version, which timed the models minutes apart."""
    apart = language_run().model_copy(update={"speeds": [speed("dense", 0.33), speed("reconstructed", 0.2)]})
    stored = RunResult.model_validate_json(apart.model_dump_json(exclude={"gains"}))
    assert words.verdict(stored) == words.verdict(language_run())


@pytest.mark.parametrize(
    ("kept", "expected"),
    [(1152, "A quarter of the neurons"), (1024, "A third of the neurons"), (900, "41 % of the neurons")],
)
def test_shares_have_names_where_people_have_them(kept: int, expected: str) -> None:
    run = language_run()
    sites = [site.model_copy(update={"kept": kept}) for site in run.sites]
    assert words.verdict(run.model_copy(update={"sites": sites})).startswith(expected)


def test_the_recipe_names_every_choice_and_what_is_seldom_chosen() -> None:
    usual = words.recipe(PruneSpec(criterion="wanda", seed=7))
    assert usual == (
        "demo/smollm2-135m: 50 % of the FFN neurons, wanda criterion, loss-curve allocation, least-squares reconstruction, "
        "corrective, calibration tokens by model width, seed 7."
    )
    seldom: dict[str, Any] = {"calibration": "letters.txt", "sequence_length": 64, "multiple": 8, "evaluate_limit": 5}
    edits = ("layers.0.ffn:ratio=0", "layers.0.ffn:remove=1", "layers.2.ffn:keep=1")
    assert words.recipe(PruneSpec(criterion="wanda", seed=7, edits=edits, quantize="int8", **seldom)) == (
        f"{usual[:-1]}, edited by hand at 2 sites, also measured with int8 weights, text letters.txt, 64 a sequence, "
        "multiple 8, 5 items."
    )


@pytest.mark.parametrize(("seconds", "expected"), [(3, "a few seconds"), (42, "about 40 s"), (200, "about 3 min")])
def test_estimates_are_no_more_exact_than_they_deserve(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


def predicted(run: RunResult, *runs: float) -> Forecast:
    """A forecast with the sites of ``run``, made to agree with runs at these ratios."""
    return Forecast(run.spec, run.sites, run.totals, None, runs)


def test_an_outlook_next_to_runs_is_about() -> None:
    about, alone = "error about 0.550, repaired about 0.137", "predicted error 0.550, repaired 0.137"
    for runs, errors in (((0.4, 0.6), about), ((0.6,), about), ((0.4,), f"predicted {about}"), ((), alone)):
        assert f": {errors}; " in words.outlook(predicted(language_run(3), *runs)), "its ratio is 0.5"


def test_an_outlook_counts_only_what_is_known() -> None:
    run = predicted(language_run(3))
    first, *others = run.sites
    unknown = first.model_copy(update={"error": {}})
    partly = replace(run, sites=[unknown, *others])
    assert "predicted error 0.375, repaired 0.094, not counting the site whose units were chosen by hand" in (
        words.outlook(partly)
    )
    nothing = replace(run, sites=[site.model_copy(update={"error": {}}) for site in run.sites])
    assert "its error is not known for units chosen by hand" in words.outlook(nothing)
    assert "not known" not in words.outlook(run)


def test_an_error_that_is_small_is_not_said_to_be_none() -> None:
    run = predicted(language_run(3))
    tiny = [site.model_copy(update={"error": dict.fromkeys(site.error, 0.00031)}) for site in run.sites]
    assert "predicted error 0.0003, repaired 0.0003;" in words.outlook(replace(run, sites=tiny))
    assert words.mean_words([0.0, 0.0]) == "0"


@pytest.mark.parametrize(("share", "expected"), [(0.625, "63 %"), (0.005, "1 %"), (0.304, "30 %"), (-0.625, "-63 %")])
def test_a_half_is_rounded_up_as_javascript_does(share: float, expected: str) -> None:
    assert percent(share) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("wiki", "the train part of wiki"),
        ("wiki + notes.txt", "equal shares of the train part of wiki and notes.txt"),
        ("2 wiki + notes.txt", "the train part of wiki (67 %) and notes.txt (33 %)"),
    ],
)
def test_the_texts_of_a_mix_have_their_shares(source: str, expected: str) -> None:
    parts = [CalibrationPart(source="wiki", split="train"), CalibrationPart(source="notes.txt", split=None)]
    mixed = parts if "+" in source else []
    text = CalibrationText(source=source, split=None if mixed else "train", tokens=512, sequences=2, mixed=mixed)
    run = language_run().model_copy(update={"calibration": text})
    assert words.calibrated_on(run) == f"Calibrated on {expected}: 512 tokens in 2 sequences."


# -- labels ----------------------------------------------------------------------------------------------------------------


def test_runs_are_labelled_by_what_distinguishes_them() -> None:
    specs = [
        PruneSpec(seed=3),
        PruneSpec(tokens=4096),
        PruneSpec(calibration="letters.txt", tokens=4096),
        PruneSpec(ratio=0.2, seed=3),
        PruneSpec(model="demo/minilm"),
    ]
    short = short_recipe(PruneSpec())
    choices = "kfac, loss-curve, least-squares, corrective"
    assert short == f"50 % of neurons: {choices}"
    assert run_labels(specs) == [
        f"50 % of neurons, the default text, tokens by model width, seed 3: {choices}",
        f"50 % of neurons, the default text, 4,096 tokens, seed 0: {choices}",
        f"50 % of neurons, text letters.txt, 4,096 tokens, seed 0: {choices}",
        short_recipe(PruneSpec(ratio=0.2)),
        short,
    ]
    assert run_labels([PruneSpec(), PruneSpec()]) == [short, short], "the same run is no other run"


OTHERS: list[dict[str, Any]] = [
    *({"calibration": "x"}, {"tokens": 5}, {"seed": 5}, {"sequence_length": 5}, {"multiple": 5}, {"ratio": 0.501}),
    *({"device": "cpu"}, {"dtype": "bfloat16"}, {"evaluate": ("topic",)}, {"evaluate_limit": 5}, {"quantize": "int8"}),
    *({"edits": ("layers.0.ffn:ratio=0",)}, {"edits": ("layers.1.ffn:ratio=0",)}),
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_whatever_differs_is_seen(other: dict[str, Any]) -> None:
    first = PruneSpec(edits=("layers.2.ffn:ratio=0",)) if "edits" in other else PruneSpec()
    one, two = run_labels([first, first.model_copy(update=other)])
    assert one != two


def test_a_label_names_the_schedule_as_it_is_done() -> None:
    assert short_recipe(PruneSpec(reconstruction="bias")).endswith("bias, sequential")
    assert short_recipe(PruneSpec(reconstruction="least-squares")).endswith("least-squares, corrective")
