"""Figures of the lessons, and what the checks of their tasks read."""

from __future__ import annotations

import numpy as np
import pytest

from liar.course.figures import Known, Shelf, measured
from liar.course.lesson_figures import hidden, total
from liar.errors import StorageError
from liar.explore.atlas import WEIGHTINGS
from liar.statistics.compare import right_answers
from tests.shipped import shipped_pair, shipped_run

MODEL = "demo/minilm-sentiment"
SHELF = Shelf()


def test_the_run_of_another_ratio() -> None:
    removed = [SHELF.ran(MODEL, **choices).totals.blocks_removed for choices in ({"ratio": 0.1}, {}, {"ratio": 0.9})]
    assert removed == sorted(removed)
    assert SHELF.ran(MODEL) == shipped_run(MODEL)


def test_what_was_measured_has_its_standard_error() -> None:
    pruned = next(item for item in shipped_run(MODEL).evaluations if item.variant == "pruned")
    assert measured(SHELF.ran(MODEL), "pruned") == Known(pruned.value, "%", 1, pruned.stderr, is_exact=False)


def test_changed_items_are_counted() -> None:
    values = {item.variant: right_answers(item) for item in shipped_run(MODEL).evaluations}
    dense, repaired = np.array(values["dense"]), np.array(values["reconstructed"])
    found = hidden(SHELF)
    assert found["broken"].value == (dense & ~repaired).sum()
    assert found["mended"].value == (~dense & repaired).sum()


def test_what_the_layers_add_is_the_divergence_that_is_predicted() -> None:
    found = total(SHELF)
    for name, allocation in (("uniform", "uniform"), ("error", "error-curve"), ("loss", "loss-curve")):
        expected = SHELF.expected("demo/smollm2-135m", allocation=allocation)
        assert sum(found[f"{name}_parts"].value) == pytest.approx(expected.divergence)


def test_every_choice_of_heads_is_counted_once() -> None:
    _, atlas = shipped_pair(MODEL)
    site = atlas.site("layers.0.attention")
    assert site is not None
    errors = site.errors_of_choices("none", 6)
    assert len(errors) == 924, "12 over 6"
    known = site.arrays.choices[WEIGHTINGS.index("plain"), site.with_choices.index("none")]
    best = site.order("wanda")[:6].tolist()
    assert known[(1 << 12) - 1 - sum(1 << bundle for bundle in best)] in errors
    assert errors.min() <= site.error_at("wanda", "none", 6) <= errors.max() + 1e-3


def test_the_closest_channels_are_two() -> None:
    _, atlas = shipped_pair(MODEL)
    for site in atlas.sites:
        off = site.arrays.correlation[~np.eye(len(site.arrays.sample), dtype=bool)]
        assert site.closest == pytest.approx(float(np.abs(off).max()))


def test_a_run_that_does_not_come_with_the_package_is_one_sentence() -> None:
    with pytest.raises(StorageError, match="does not come with this package"):
        SHELF.ran(MODEL, ratio=0.123)
    with pytest.raises(StorageError, match="No run of demo/nothing"):
        SHELF.ran("demo/nothing")
    with pytest.raises(StorageError, match=r"The curves of .* do not come with this package"):
        SHELF.expected(MODEL, seed=7)


def test_words() -> None:
    assert Known(0.855, "%", 1).words == "85.5 %"
    assert Known(1504).words == "1,504"
    assert Known([0.1, 2.131], "x", 2).words_of(2.131) == "2.13 x"
    assert Known(0.006, "points", 1).words == "0.6 points"
