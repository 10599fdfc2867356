"""An answer is judged by its repetition and by what it shares with dense, where a perplexity praises a loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.report.words.answer_sentences import agreement, changes_of, group_extent, judged, repetition
from liar.results import CHANGE_GROUPS, MOST_CHANGES, Generation, Token, Variant
from tests.fakes import change, classifier_run, with_answers

words = st.lists(st.sampled_from(["so", "good", "a", "film"]), max_size=30)


def answer(variant: Variant, text: str, perplexity: float | None = None) -> Generation:
    tokens = [Token(text=f"{word} ") for word in text.split()]
    return Generation(prompt="Well?", variant=variant, text=text, tokens=tokens, dense_perplexity=perplexity)


@pytest.mark.parametrize(
    ("tokens", "share"),
    [("a b c d", 0.0), ("a b c a b c a b c", 4 / 7), ("you " * 12, 9 / 10), ("a b c", None), ("", None)],
)
def test_repetition_counts_runs_that_were_there_before(tokens: str, share: float | None) -> None:
    assert repetition(tokens.split()) == (share if share is None else pytest.approx(share))


@given(words)
def test_a_text_said_twice_repeats_at_least_half_of_itself(tokens: list[str]) -> None:
    share, twice = repetition(tokens), repetition(tokens + tokens)
    assert share is None or 0 <= share < 1
    assert twice is None or share is None or twice >= share


@given(words, words)
def test_agreement_is_one_of_equal_texts_and_nothing_without_a_common_word(one: list[str], other: list[str]) -> None:
    shared = agreement(" ".join(one), " ".join(other))
    assert 0 <= shared <= 1
    assert (shared == 1) == (one == other)
    if set(one) & set(other):
        assert shared > 0
    elif one or other:
        assert shared == 0


def test_a_loop_is_told_from_an_answer_though_its_perplexity_is_low() -> None:
    dense = answer("dense", "Paris is the capital of France .", 2.0)
    assert judged(dense, None) == [
        "Perplexity 2.0, as the dense model sees it.",
        "Repeats 0 % of its runs of three tokens.",
    ]
    loop = judged(answer("pruned", "the capital the capital the capital the capital", 1.9), dense)
    assert loop[1:] == ["Repeats 67 % of its runs of three tokens.", "Shares 29 % of its words with dense."]


def test_nothing_is_said_of_labels_of_nothing_and_of_what_is_not_known() -> None:
    assert judged(Generation(prompt="p", variant="dense", probabilities={"a": 1.0}), None) == []
    assert judged(answer("pruned", " "), answer("dense", "a b")) == []
    same = answer("pruned", "a b c d")
    assert judged(same, answer("dense", "a b c d")) == ["Repeats 0 % of its runs of three tokens."]


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
    counts = [len(changes_of(run, "sentiment", group)) for group in CHANGE_GROUPS]
    assert counts == [2, 1, 2]
    assert changes_of(run, "topic", "broken") == []


def test_a_group_counts_all_of_its_texts() -> None:
    """Of 40 texts that pruning breaks, a result keeps twelve as examples; the stored answers count all 40."""
    kept = [change(f"text {number}", "good", "good", "bad", "bad") for number in range(MOST_CHANGES)]
    old = classifier_run().model_copy(update={"changes": kept})
    assert group_extent(old, "sentiment", "broken") == "the first 12 texts shown, their number was not kept"
    assert group_extent(old, "sentiment", "mended") == "no text"
    run = with_answers(old, "1" * 100, "1" * 60 + "0" * 40, "1" * 60 + "0" * 40)
    assert group_extent(run, "sentiment", "broken") == "40 texts, the first 12 shown"
    assert group_extent(classifier_run(), "sentiment", "mended") == "1 text"
