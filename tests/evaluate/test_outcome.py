"""Which of the items on which the variants disagree are kept."""

from __future__ import annotations

from typing import Any

from liar.evaluate.outcome import Outcome, Outcomes, changes_of
from liar.results import MOST_CHANGES, VARIANTS, Change, Items
from liar.tasks.samples import Sample

NAMES = ("bad", "good", "fair")


def compared(samples: list[Sample], labels: list[str], answers: list[list[str]], right: list[Any]) -> list[Change]:
    """Changes of items, from the answers of each variant and which of them are right."""
    outcomes: Outcomes = {"task": {}}
    for variant, given, flags in zip(VARIANTS, answers, right, strict=True):
        assert changes_of(outcomes) == []
        outcomes["task"][variant] = Outcome(samples, Items(digest=""), given, labels, flags)
    return changes_of(outcomes)


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
