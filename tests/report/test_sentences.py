"""Sentences about a run agree with its figures."""

from __future__ import annotations

from statistics import stdev
from typing import Any

import pytest

from liar.report import change_groups
from liar.report import sentences as words
from liar.report.compare import Recovery
from liar.results import CHANGE_GROUPS, MOST_CHANGES, Items, RunResult
from liar.tasks.metrics import METRICS
from tests.fakes import change, classifier_run, gain, language_run, speed


def test_verdict_of_a_language_model() -> None:
    assert words.verdict(language_run()) == (
        "Half of the neurons gone: perplexity 16.2 → 110.7, repaired 42.4; 30 % fewer parameters."
    )


def test_verdict_of_a_classifier() -> None:
    sentence = words.verdict(classifier_run())
    assert "sentiment accuracy 86.3 % → 80.8 %, repaired 84.7 %" in sentence
    assert sentence.endswith(
        "; 25 % fewer parameters; 1.20 times as fast with one text at a time (1.17 to 1.25 in turns)."
    )


@pytest.mark.parametrize(
    ("quartiles", "expected"),
    [
        ((1.38, 1.41, 1.46), "1.41 times as fast at reading a prompt (1.38 to 1.46 in turns)"),
        ((0.49, 0.5, 0.52), "slower: 0.50 times as fast at reading a prompt (0.49 to 0.52 in turns)"),
        ((0.98, 1.01, 1.03), "not measurably faster at reading a prompt (0.98 to 1.03 times in turns)"),
        ((1.001, 1.01, 1.02), "not measurably faster at reading a prompt (1.00 to 1.02 times in turns)"),
        ((0.84, 1.2, 1.3), "the machine was too noisy to measure how fast (0.84 to 1.30 times in turns)"),
        ((1.1, 1.7, 2.3), "the machine was too noisy to measure how fast (1.10 to 2.30 times in turns)"),
    ],
    ids=["faster", "slower", "tie", "hair", "both ways", "wide"],
)
def test_a_speed_is_no_better_than_its_measurement(quartiles: tuple[float, float, float], expected: str) -> None:
    timed = language_run().model_copy(update={"gains": [gain("dense", "reconstructed", *quartiles)]})
    assert words.verdict(timed).endswith(f"; 30 % fewer parameters; {expected}.")


def test_times_that_were_not_taken_in_turns_give_no_gain() -> None:
    """As in files of an earlier version, which timed the models minutes apart."""
    apart = language_run().model_copy(update={"speeds": [speed("dense", 0.33), speed("reconstructed", 0.2)]})
    stored = RunResult.model_validate_json(apart.model_dump_json(exclude={"gains"}))
    assert words.verdict(stored) == words.verdict(language_run())


def with_values(run: RunResult, *values: float) -> RunResult:
    """A copy of the run with these metrics of the dense, the pruned and the reconstructed model."""
    measured = zip(run.evaluations, values, strict=True)
    return run.model_copy(
        update={"evaluations": [item.model_copy(update={"value": value}) for item, value in measured]}
    )


def test_recovery_is_the_share_of_what_pruning_broke() -> None:
    assert recovered(language_run(), "perplexity") == pytest.approx((110.7 - 42.4) / (110.7 - 16.2))
    assert recovered(classifier_run(), "sentiment") == pytest.approx((0.847 - 0.808) / (0.863 - 0.808))
    assert recovered(with_values(language_run(), 10, 50, 70), "perplexity") == pytest.approx(-0.5)
    assert recovered(with_values(classifier_run(), 0.8, 0.6, 0.9), "sentiment") == pytest.approx(1.5)


def recovered(run: RunResult, task: str) -> float:
    found = words.recovery(run, task)
    assert found is not None
    return found.share


def test_there_is_no_recovery_where_nothing_broke_or_was_measured() -> None:
    assert words.recovery(with_values(language_run(), 20, 20, 15), "perplexity") is None
    assert words.recovery(with_values(language_run(), 20, 15, 25), "perplexity") is None
    assert words.recovery(with_values(classifier_run(), 0.8, 0.85, 0.7), "sentiment") is None
    assert words.recovery(language_run(), "topic") is None
    run = language_run()
    assert words.recovery(run.model_copy(update={"evaluations": run.evaluations[:2]}), "perplexity") is None


def test_a_repair_is_described_by_what_it_changed() -> None:
    assert words.repair(language_run(), "perplexity") == "the repair gave back 72 % of what pruning broke"
    assert words.repair(with_values(language_run(), 10, 50, 70), "perplexity") == "the repair broke 50 % more"
    assert words.repair(language_run(reconstruction="none"), "perplexity") is None


def test_a_share_of_what_may_be_chance_is_not_stated() -> None:
    """Each accuracy has a standard error of one percent, so a difference of one percent may be chance."""
    broke_nothing = with_values(classifier_run(), 0.86, 0.85, 0.84)
    assert words.recovery(broke_nothing, "sentiment") is None
    assert words.repair(broke_nothing, "sentiment") == "what pruning broke lies within the standard error"
    mended_nothing = with_values(classifier_run(), 0.86, 0.80, 0.81)
    assert words.recovery(mended_nothing, "sentiment") is None
    assert words.repair(mended_nothing, "sentiment") == "the repair changed no more than the standard error"
    assert words.repair(with_values(classifier_run(reconstruction="none"), 0.86, 0.85, 0.85), "sentiment") is None


def test_single_answers_settle_what_separate_errors_leave_open() -> None:
    """Of 1,200 texts, twelve change from right to wrong and back and none the other way: one percent, but not chance."""
    right = "1" * 1032 + "0" * 168
    run = with_answers(classifier_run(), right, "0" * 12 + right[12:], right)
    assert words.recovery(run, "sentiment") == Recovery(pytest.approx(1), pytest.approx(0))
    assert words.repair(run, "sentiment") == "the repair gave back 100 ± 0 % of what pruning broke"


def test_a_recovery_has_its_paired_standard_error() -> None:
    """Of 100 texts pruning breaks 40 and the repair mends 20 of these: the others add nothing to the error."""
    run = with_answers(classifier_run(), "1" * 100, "0" * 40 + "1" * 60, "1" * 20 + "0" * 20 + "1" * 60)
    terms = [-0.5 / 0.4] * 20 + [0.5 / 0.4] * 20 + [0.0] * 60  # (1 - R) pruned - reconstructed + R dense
    error = stdev(terms) / 10
    assert words.recovery(run, "sentiment") == Recovery(pytest.approx(0.5), pytest.approx(error))
    assert words.repair(run, "sentiment") == f"the repair gave back 50 ± {100 * error:.0f} % of what pruning broke"
    worse = with_answers(classifier_run(), "1" * 100, "0" * 40 + "1" * 60, "0" * 60 + "1" * 40)
    repair = words.repair(worse, "sentiment")
    assert repair is not None
    assert repair.startswith("the repair broke 50 ± ")


def with_answers(run: RunResult, *right: str) -> RunResult:
    """A copy of the run with the answers of its three models, 1 for a right one; accuracy and n follow from these."""
    evaluations = [
        item.model_copy(
            update={
                "value": bits.count("1") / len(bits),
                "n": len(bits),
                "items": Items(digest="texts", right=f"{int(bits, 2):x}"),
            }
        )
        for item, bits in zip(run.evaluations, right, strict=True)
    ]
    return run.model_copy(update={"evaluations": evaluations})


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
    ("answers", "groups"),
    [
        ("yny", ["broken", "mended"]),
        ("ynn", ["broken", "lost"]),
        ("yyn", ["lost"]),
        ("nyn", ["lost"]),
        ("nny", ["mended"]),
        ("nyy", []),
        ("nnn", []),
    ],
)
def test_changes_are_grouped_by_who_is_right(answers: str, groups: list[str]) -> None:
    assert change("text", "y", *answers).groups == groups


def test_a_group_holds_the_changes_of_its_task() -> None:
    run = classifier_run()
    counts = [len(change_groups.changes_of(run, "sentiment", group)) for group in CHANGE_GROUPS]
    assert counts == [2, 1, 2]
    assert change_groups.changes_of(run, "topic", "broken") == []


def test_a_group_counts_all_of_its_texts() -> None:
    """Of 40 texts that pruning breaks, a result keeps twelve as examples; the stored answers count all 40."""
    kept = [change(f"text {number}", "good", "good", "bad", "bad") for number in range(MOST_CHANGES)]
    old = classifier_run().model_copy(update={"changes": kept})
    assert (
        change_groups.group_extent(old, "sentiment", "broken") == "the first 12 texts shown, their number was not kept"
    )
    assert change_groups.group_extent(old, "sentiment", "mended") == "no text"
    run = with_answers(old, "1" * 100, "1" * 60 + "0" * 40, "1" * 60 + "0" * 40)
    assert change_groups.group_extent(run, "sentiment", "broken") == "12 of 40 texts shown"
    assert change_groups.group_extent(classifier_run(), "sentiment", "mended") == "1 of 1 text shown"


def test_heads_and_neurons_are_named_apart_if_their_shares_differ() -> None:
    # 4 of 9 heads and 768 of 1,536 neurons are removed.
    sentence = words.verdict(classifier_run())
    assert sentence.startswith("44 % of the heads and half of the neurons gone")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [(1152, "A quarter of the neurons"), (1024, "A third of the neurons"), (900, "41 % of the neurons")],
)
def test_shares_have_names_where_people_have_them(kept: int, expected: str) -> None:
    run = language_run()
    sites = [site.model_copy(update={"kept": kept}) for site in run.sites]
    assert words.verdict(run.model_copy(update={"sites": sites})).startswith(expected)


def test_a_run_that_measured_nothing_still_has_a_verdict() -> None:
    sentence = words.verdict(language_run().model_copy(update={"evaluations": []}))
    assert sentence == "Half of the neurons gone; 30 % fewer parameters."


def test_metrics_carry_n_and_length() -> None:
    windows, texts = language_run().evaluations[0], classifier_run().evaluations[0]
    assert words.measurement(windows) == "perplexity, 20 windows of 256 tokens"
    assert words.measurement(texts) == "sentiment accuracy, 1,200 texts"
    read = windows.model_copy(update={"source": "wiki", "separator": "document"})
    assert words.measurement(read) == (
        "perplexity, 20 windows of 256 tokens of Wikipedia leads with document tokens between texts"
    )
    of_answers = texts.model_copy(update={"task": "span", "metric": "answer-f1"})
    assert words.measurement(of_answers) == "span F1 of answers, 1,200 questions"


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


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "1,200 texts"),
        ({"available": 1_590, "sequence_length": 256, "cut": 3}, "1,200 of 1,590 texts of at most 256 tokens, 3 cut"),
        ({"available": 1_200, "sequence_length": 256, "cut": 0}, "1,200 texts of at most 256 tokens"),
    ],
)
def test_a_figure_states_how_much_of_the_texts_was_read(facts: dict[str, int], expected: str) -> None:
    assert words.sample(classifier_run().evaluations[0].model_copy(update=facts)) == expected


def test_the_recipe_names_every_choice() -> None:
    spec = language_run(criterion="wanda", seed=7).spec
    sentence = words.recipe(language_run(criterion="wanda", seed=7).spec)
    for choice in (spec.model, spec.criterion, spec.allocation, spec.reconstruction, spec.schedule, "seed 7", "12,288"):
        assert str(choice) in sentence


def test_the_recipe_also_names_what_is_seldom_chosen() -> None:
    usual = words.recipe(language_run().spec)
    assert "text" not in usual
    unusual = words.recipe(
        language_run(calibration="letters.txt", sequence_length=64, multiple=8, evaluate_limit=5).spec
    )
    assert unusual == f"{usual[:-1]}, text letters.txt, 64 a sequence, multiple 8, 5 items."


@pytest.mark.parametrize(("seconds", "expected"), [(3, "a few seconds"), (42, "about 40 s"), (200, "about 3 min")])
def test_estimates_are_no_more_exact_than_they_deserve(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


def test_an_outlook_counts_only_what_is_known() -> None:
    run = language_run(3)
    first, *others = run.sites
    unknown = first.model_copy(update={"error": {}})
    partly = run.model_copy(update={"sites": [unknown, *others]})
    assert "predicted error 0.375, repaired 0.094, not counting the site whose units were chosen by hand" in (
        words.outlook(partly)
    )
    nothing = run.model_copy(update={"sites": [site.model_copy(update={"error": {}}) for site in run.sites]})
    assert "its error is not known for units chosen by hand" in words.outlook(nothing)
    assert "not known" not in words.outlook(run)
