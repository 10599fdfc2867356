"""Kept neurons rounded to the nearest multiple, and the reported cost of that."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar import PruneSpec, run
from liar.edits import SiteEdit
from liar.errors import InvalidSpecError
from liar.explore.allocation import check_choices, settled_count
from liar.report.sentences import rounding
from liar.sites import Site
from tests import tiny

HEADS = Site(0, "attention", 8, 4)


@given(st.integers(1, 400), st.integers(1, 64), st.data())
def test_a_count_becomes_the_nearest_multiple_that_there_is(units: int, multiple: int, data: st.DataObject) -> None:
    multiple = min(multiple, units)
    site = Site(0, "ffn", units)
    count = data.draw(st.integers(1, units))
    kept = settled_count(site, count, multiple)
    if count == units:
        assert kept == units, "what is not pruned is not rounded"
    else:
        legal = range(multiple, units + 1, multiple)
        assert kept in legal
        assert abs(kept - count) == min(abs(other - count) for other in legal)


def test_heads_are_not_rounded_and_edits_take_precedence() -> None:
    assert settled_count(HEADS, 3, 64) == 3
    neurons = Site(0, "ffn", 48)
    assert settled_count(neurons, 20, 16, SiteEdit(ratio=0.5)) == 32, "24 is as near to 16 as to 32: ties round up"
    assert settled_count(neurons, 20, 16, SiteEdit(keep=frozenset(range(17)))) == 17


def test_a_multiple_wider_than_the_layer_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidSpecError, match=r"layers\.0\.ffn has 48 neurons, fewer than the multiple 64"):
        check_choices(PruneSpec(multiple=64), [Site(0, "ffn", 48)])
    check_choices(PruneSpec(multiple=64, targets="heads", ratio=0.25), [HEADS])


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "letters.txt"
    path.write_text("\n\n".join(" ".join(tiny.LETTERS[i:] + tiny.LETTERS[:i]) for i in range(26)))
    return str(path)


@pytest.mark.parametrize("allocation", ["uniform", "error-curve"])
def test_a_run_reports_what_rounding_costs(allocation: str, text: str) -> None:
    choices = {"calibration": text, "tokens": 400, "sequence_length": 20, "schedule": "one-shot", "targets": "both"}
    spec = PruneSpec(model="tiny/llama", criterion="fluctuation", allocation=allocation, **choices)  # type: ignore[arg-type]
    model = tiny.language_model()
    plain = run(spec, model)
    rounded = run(spec.model_copy(update={"multiple": 16}), model)
    assert rounding(plain) is None
    for before, after in zip(plain.sites, rounded.sites, strict=True):
        assert before.unrounded is None
        assert after.unrounded is not None
        assert after.unrounded.kept == before.kept
        assert after.unrounded.error == pytest.approx(before.error["least-squares"], rel=1e-5)
        assert after.kept % 16 == 0 if after.kind == "ffn" else after.kept == before.kept
    assert any(after.kept != before.kept for before, after in zip(plain.sites, rounded.sites, strict=True))
    sentence = rounding(rounded)
    assert sentence is not None
    assert sentence.startswith("Kept neurons are multiples of 16: the mean error is 0.")
    sizes = {site.units for site in model.adapter.sites("ffn")}
    assert sizes == {48}, "the model that was passed in stays as it was"
