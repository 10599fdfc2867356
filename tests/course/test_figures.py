"""Figures of the lessons, and what the checks of their tasks read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from liar.course.figures import Known, Shelf, figure_words, measured
from liar.course.lesson import Check
from liar.course.lesson_figures import hidden
from liar.errors import StorageError
from liar.explore.atlas import WEIGHTINGS
from liar.explore.forecast import divergence, forecast
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


def test_what_a_check_reads_of_a_forecast() -> None:
    run, atlas = shipped_pair(MODEL)
    chosen = {"ratio": 0.3, "reconstruction": "bias"}
    expected = forecast(run.spec.model_copy(update=chosen), atlas)

    def read(of: Any, **more: Any) -> float:
        return Check(title="", of=of, at_most=1, **more).value(SHELF.expected(MODEL, **chosen), SHELF.atlas(MODEL))

    assert read("blocks") == expected.totals.blocks_removed
    assert read("divergence") == divergence(expected, atlas)
    assert read("error", site="layers.2.ffn") == expected.sites[5].error["bias"]
    assert read("error", site="layers.2.ffn", repair="none") == expected.sites[5].error["none"]
    assert read("error") == pytest.approx(np.mean([site.error["bias"] for site in expected.sites]))
    assert Check(title="", of="metric", at_most=1).value(run, atlas) == run.evaluations[2].value


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
    assert figure_words(0.855, "%", 1) == "85.5 %"
    assert figure_words(1504, "", 0) == "1,504"
    assert Known(2.131, "x", 2).words == "2.13 x"
    assert figure_words(0.006, "points", 1) == "0.6 points"
