"""Figures of the lessons: paths into shipped results, and arithmetic of figures by their names."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.course.figures import Derived, Figure, Known, Shelf, figure_words
from liar.errors import InvalidSpecError, StorageError
from liar.explore.atlas import WEIGHTINGS
from liar.explore.forecast import divergence, forecast
from liar.report.compare import right_answers
from tests.shipped import shipped_pair, shipped_run

MODEL = "demo/minilm-sentiment"
SHELF = Shelf()
REMOVED = "totals/blocks_removed"


def found(path: str, of: Any = "run", **choices: Any) -> Any:
    return SHELF.value(Figure(of=of, model=MODEL, choices=choices, path=path))


def test_a_path_into_a_run() -> None:
    run = shipped_run(MODEL)
    pruned = next(item for item in run.evaluations if item.variant == "pruned")
    assert found("evaluations/variant=pruned/value") == pruned.value
    assert found("evaluations/task=sentiment,variant=pruned/n") == pruned.n
    assert found("sites/*/kept") == [site.kept for site in run.sites]
    assert found("sites/*/kept/total") == sum(site.kept for site in run.sites)
    assert found("sites/*/error/liar/mean") == pytest.approx(np.mean([site.error["liar"] for site in run.sites]))
    assert found("sites/count") == len(run.sites)


def test_the_run_of_another_ratio() -> None:
    assert found(REMOVED, ratio=0.9) > found(REMOVED) > found(REMOVED, ratio=0.1)


def test_changed_items_are_counted() -> None:
    values = {item.variant: right_answers(item) for item in shipped_run(MODEL).evaluations}
    dense, repaired = np.array(values["dense"]), np.array(values["reconstructed"])
    assert found("changed(right,wrong)") == (dense & ~repaired).sum()
    assert found("changed(wrong,right)") == (~dense & repaired).sum()


def test_a_path_into_an_atlas() -> None:
    _, atlas = shipped_pair(MODEL)
    site = atlas.site("layers.3.ffn")
    assert site is not None
    curve = site.curve("wanda", "bias")
    assert found("site(layers.3.ffn)/curve(wanda,bias)/40", "atlas") == float(curve[40])
    assert found("site(layers.3.ffn)/curve(wanda,bias)", "atlas") == curve.tolist()
    assert found("facts/kinds/ffn/units", "atlas") == site.site.units


def test_a_path_into_a_forecast() -> None:
    run, atlas = shipped_pair(MODEL)
    expected = forecast(run.spec.model_copy(update={"ratio": 0.3, "reconstruction": "bias"}), atlas)
    chosen = {"ratio": 0.3, "reconstruction": "bias"}
    assert found("sites/name=layers.2.ffn/kept", "forecast", **chosen) == expected.sites[5].kept
    assert found("chosen(layers.2.ffn)", "forecast", **chosen) == expected.sites[5].error["bias"]
    assert found("divergence", "forecast", **chosen) == divergence(expected, atlas)
    means = np.mean([site.error["bias"] for site in expected.sites])
    assert found("mean_chosen", "forecast", **chosen) == pytest.approx(means)


def test_every_choice_of_heads_is_counted_once() -> None:
    _, atlas = shipped_pair(MODEL)
    site = atlas.site("layers.0.attention")
    assert site is not None
    errors = site.errors_of_choices("none", 6)
    assert len(errors) == 924, "12 over 6"
    known = site.arrays.choices[site.row, WEIGHTINGS.index("plain"), site.with_choices.index("none")]
    best = site.order("wanda")[:6].tolist()
    assert known[(1 << 12) - 1 - sum(1 << bundle for bundle in best)] in errors
    assert errors.min() <= site.error_at("wanda", "none", 6) <= errors.max() + 1e-3


def test_the_closest_channels_are_two() -> None:
    _, atlas = shipped_pair(MODEL)
    for site in atlas.sites:
        off = site.correlation[~np.eye(len(site.sample), dtype=bool)]
        assert site.closest == pytest.approx(float(np.abs(off).max()))


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "evaluations/variant=sparse/value",
        "sites/99/kept",
        "changed(right)",
        "sites/name=layers.0.ffn/error/x",
    ],
)
def test_a_path_that_leads_nowhere_is_one_sentence(path: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"leads nowhere at .*\.$"):
        found(path)


def test_a_run_that_does_not_come_with_the_package_is_one_sentence() -> None:
    with pytest.raises(StorageError, match="does not come with this package"):
        found(REMOVED, ratio=0.123)
    with pytest.raises(StorageError, match="No run of demo/nothing"):
        SHELF.value(Figure(of="run", model="demo/nothing", path=REMOVED))
    with pytest.raises(StorageError, match=r"The curves of .* do not come with this package"):
        found("divergence", "forecast", seed=7)


NAMES = st.sampled_from(["a", "b", "c"])
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


@given(
    st.lists(st.floats(0.1, 100), min_size=3, max_size=3),
    st.tuples(NAMES, st.sampled_from([*SIGNS]), NAMES, st.sampled_from([*SIGNS]), NAMES),
)
def test_a_formula_is_ordinary_arithmetic(values: list[float], parts: tuple[str, str, str, str, str]) -> None:
    known = dict(zip("abc", values, strict=True))
    first, sign, second, other, third = parts
    inner = SIGNS[sign](known[first], known[second])
    figures: dict[str, Figure | Derived] = {name: Derived(formula=repr(value)) for name, value in known.items()}
    figures["result"] = Derived(formula=f"({first} {sign} {second}) {other} {third}")
    if other == "/" or known[third]:
        assert SHELF.figures(figures)["result"].value == pytest.approx(SIGNS[other](inner, known[third]))


@pytest.mark.parametrize("formula", ["__import__('os')", "later", "a ** a", "(lambda: 1)()", "a < a", "'text'"])
def test_a_formula_has_nothing_but_figures(formula: str) -> None:
    with pytest.raises(InvalidSpecError, match="no figure above it"):
        SHELF.figures({"a": Derived(formula="1"), "b": Derived(formula=formula), "later": Derived(formula="1")})


def test_words() -> None:
    assert figure_words(0.855, "%", 1) == "85.5 %"
    assert figure_words(1504, "", 0) == "1,504"
    assert Known(2.131, "x", 2).words == "2.13 x"
    assert figure_words(0.006, "points", 1) == "0.6 points"
