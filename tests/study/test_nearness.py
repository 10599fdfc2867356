"""How near a repair stays to the dense model: counted by hand on a few numbers, and said where it matters."""

from __future__ import annotations

from typing import Any

import pytest
from parts.nearness import nearness, nearness_sentence, nearness_table
from parts.subjects import SUBJECTS

from liar.choices import Reconstruction
from liar.results import Evaluation, Items
from liar.spec import RECONSTRUCTIONS

DENSE = [1.0, 2.0, 3.0]
OFF: dict[Reconstruction, float] = {"none": 3.0, "bias": 2.0, "scale": 2.0, "liar": 1.0, "least-squares": 1.0}
RATING = next(subject for subject in SUBJECTS if subject.task == "rating")


def evaluation(predicted: list[float] | None) -> Evaluation:
    items = Items(digest="same", predicted=predicted, wanted=predicted)
    return Evaluation(task="rating", metric="spearman", variant="dense", value=0.5, n=3, stderr=0.1, items=items)


def values() -> dict[str, float]:
    found = {name: evaluation([number + off for number in DENSE]) for name, off in OFF.items()}
    found["least-squares"] = evaluation([1.0, 2.0, 3.5])
    return nearness(evaluation(DENSE), found, "least-squares")


def test_differences_are_squared_and_paired() -> None:
    found = values()
    assert found["none from dense"] == 9.0
    assert found["liar from dense"] == 1.0
    assert found["least-squares from dense"] == pytest.approx(1 / 12)
    assert found["least-squares nearer than liar"] == pytest.approx(11 / 12)  # of 1, 1 and 3/4
    assert found["least-squares nearer than liar stderr"] == pytest.approx(1 / 12)
    assert found["least-squares nearer than least-squares"] == 0.0


def test_a_model_of_classes_has_none() -> None:
    assert nearness(evaluation(None), dict.fromkeys(RECONSTRUCTIONS, evaluation(None)), "least-squares") == {}


def test_the_report_counts_what_is_clear_and_leaves_out_what_was_not_measured() -> None:
    several: Any = {0.1: {"n": 3.0}, 0.5: values()}
    found: Any = {RATING: several}
    table = nearness_table(several, "least-squares", "liar")
    assert "50% | 9.00000 | 4.00000 | 4.00000 | 1.00000 | 0.08333 | +0.91667 ± 0.08333" in table
    assert "10%" not in table
    said = nearness_sentence(found, "least-squares", [(RATING, 0.1, "liar"), (RATING, 0.5, "liar")])
    assert "In the 4 comparisons of minilm-rating" in said
    assert "in 4 by two paired standard errors or more and farther in 0; in the 1 of them" in said
    assert nearness_table({0.1: {"n": 3.0}}, "least-squares", "liar") == ""
    assert nearness_sentence({RATING: {0.1: {"n": 3.0}}}, "least-squares", []) == ""
