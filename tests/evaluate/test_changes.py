"""Which of the items on which the variants disagree are kept as examples."""

from __future__ import annotations

from liar.data.tasks import LabelledText
from liar.evaluate.changes import Comparison
from liar.results import MOST_CHANGES, VARIANTS, Change

NAMES = ("bad", "good", "fair")


def changes(*rows: tuple[int, int, int, int], text: str = "text") -> list[Change]:
    """Changes of items given as (label, answers of the dense, the pruned and the reconstructed model)."""
    items = LabelledText([f"{text} {number}" for number in range(len(rows))], [row[0] for row in rows], NAMES)
    comparison = Comparison()
    for place, variant in enumerate(VARIANTS, start=1):
        assert comparison.changes() == []
        comparison.note("sentiment", variant, items, [row[place] for row in rows])
    return comparison.changes()


def test_a_change_carries_text_label_and_answers_by_name() -> None:
    assert changes((1, 1, 0, 1)) == [
        Change(
            task="sentiment",
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
