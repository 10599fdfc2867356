"""The train, validation and test parts: their sizes, and that no text is in two of them."""

from __future__ import annotations

from collections import Counter

import pytest

from liar.tasks.splits import split_of


def test_parts_have_their_shares() -> None:
    counts = Counter(split_of(f"title {number}") for number in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.70, abs=0.015)
    assert counts["validation"] / 20_000 == pytest.approx(0.15, abs=0.015)
    assert counts["test"] / 20_000 == pytest.approx(0.15, abs=0.015)


def test_case_and_white_space_move_no_text_to_another_part() -> None:
    for number in range(200):
        assert split_of(f"A fine  Film {number}\n") == split_of(f" a fine film {number}")
