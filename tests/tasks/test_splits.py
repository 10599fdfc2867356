"""The train, validation and test parts: their sizes, and that no text is in two of them."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from liar.tasks.splits import Split, digest_of, part_of, split_of


def test_parts_have_their_shares() -> None:
    counts = Counter(split_of(f"title {number}") for number in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.70, abs=0.015)
    assert counts["validation"] / 20_000 == pytest.approx(0.15, abs=0.015)
    assert counts["test"] / 20_000 == pytest.approx(0.15, abs=0.015)


def test_case_and_white_space_move_no_text_to_another_part() -> None:
    for number in range(200):
        assert split_of(f"A fine  Film {number}\n") == split_of(f" a fine film {number}")


def test_what_equals_an_earlier_part_up_to_punctuation_is_left_out_of_the_later_ones() -> None:
    texts = [f"a fine film {number}" for number in range(300)]
    items = [(variant, variant) for text in texts for variant in (text, f'"A fine, film" {text[12:]}...!')]
    parts = {split: part_of(items, split) for split in get_args(Split)}
    assert all(parts.values())
    for split, part in parts.items():
        assert list(part) == sorted(map(digest_of, part.values()))
        assert {split_of(text) for text in part.values()} == {split}, "no text moves to another part"
    assert set(parts["train"].values()) == {text for text, _ in items if split_of(text) == "train"}
    numbers = [{int("".join(filter(str.isdigit, text))) for text in part.values()} for part in parts.values()]
    assert not numbers[0] & numbers[1]
    assert not (numbers[0] | numbers[1]) & numbers[2]
    assert set.union(*numbers) == set(range(300))


def test_texts_without_letters_are_not_all_equal() -> None:
    smileys = [":" * number + ")" for number in range(1, 60)]
    assert sum(len(part_of(zip(smileys, smileys, strict=True), split)) for split in get_args(Split)) == 59
