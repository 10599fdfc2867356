"""Edits by hand: canonical spelling, merging by site, bounds, and precedence over criterion and allocation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liar.edits import MAX_EDITS, MAX_UNIT, MAX_UNITS, SiteEdit, canonical, flipped, merge, spans, written
from liar.errors import EmptySiteError, InvalidSpecError
from liar.explore.allocation import best_bundles, check_edits, settled_counts
from liar.sites import Site
from liar.spec import PruneSpec

HEADS = Site(0, "attention", 6, 8, 2)
"""Three groups of two query heads."""

NEURONS = Site(1, "ffn", 12)

sites = st.builds("layers.{}.{}".format, st.integers(0, 40), st.sampled_from(["ffn", "attention"]))
ratios = st.builds("ratio={:.9f}".format, st.floats(0, 0.95))
units = st.sets(st.integers(0, 300), min_size=1)
lists = units.flatmap(lambda chosen: st.permutations(sorted(chosen))).map(lambda chosen: ",".join(map(str, chosen)))
named = st.builds("{}={}".format, st.sampled_from(["keep", "remove"]), lists)
edits = st.builds("{}:{}".format, sites, ratios | named)


@pytest.mark.parametrize(
    ("edit", "spelling"),
    [
        ("layers.3.ffn:ratio=0.20", "layers.3.ffn:ratio=0.2"),
        ("layers.3.ffn:ratio=-0", "layers.3.ffn:ratio=0"),
        ("layers.3.ffn:ratio=0.00001", "layers.3.ffn:ratio=0.00001"),
        (" layers.0.attention:keep= 6, 1,4 - 5 ,4 ", "layers.0.attention:keep=1,4-6"),
        ("layers.0.attention:remove=007", "layers.0.attention:remove=7"),
    ],
)
def test_an_edit_has_one_spelling(edit: str, spelling: str) -> None:
    assert canonical(edit) == spelling


@given(edits)
def test_the_canonical_spelling_is_stable_and_keeps_the_meaning(edit: str) -> None:
    spelling = canonical(edit)
    assert canonical(spelling) == spelling
    ((site, meant),) = merge([edit]).items()
    ((again, found),) = merge([spelling]).items()
    assert (again, found.keep, found.remove) == (site, meant.keep, meant.remove)
    assert found.ratio == (meant.ratio if meant.ratio is None else pytest.approx(meant.ratio, abs=1e-6))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("", "is no edit"),
        ("layers.0.ffn", "is no edit"),
        ("layers.0.mlp:ratio=0.5", "is no edit"),
        ("layers.0.ffn:drop=1", "is no edit"),
        ("layers.٣.ffn:keep=1", "is no edit"),
        ("layers.0.ffn:ratio=1e-3", "is no edit"),
        ("layers.0.ffn:ratio=0.96", "from 0 to 0.95"),
        ("layers.0.ffn:ratio=-0.1", "from 0 to 0.95"),
        ("layers.0.ffn:ratio=0.1.2", "from 0 to 0.95"),
        ("layers.0.ffn:keep=1,,2", "is no unit"),
        ("layers.0.ffn:keep=1.5", "is no unit"),
        ("layers.0.ffn:keep=5-1", "is no range"),
        (f"layers.0.ffn:keep={MAX_UNIT}", "is no range"),
        (f"layers.0.ffn:keep=0-{MAX_UNITS}", f"more than {MAX_UNITS:,} units"),
    ],
)
def test_what_is_no_edit_is_one_sentence(edit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        canonical(edit)
    with pytest.raises(InvalidSpecError, match=message) as refused:
        merge([edit])
    assert len(str(refused.value)) < 200


def test_an_address_cannot_name_more_units_than_the_bound_in_many_edits() -> None:
    many = [f"layers.{layer}.ffn:keep=0-{MAX_UNITS // 4 - 1}" for layer in range(5)]
    assert len(merge(many[:4])) == 4
    with pytest.raises(InvalidSpecError, match="name fewer"):
        merge(many)


def test_edits_of_a_site_are_merged() -> None:
    found = merge(
        [
            "layers.0.attention:keep=1",
            "layers.1.ffn:ratio=0.5",
            "layers.0.attention:keep=4-5",
            "layers.1.ffn:ratio=0.25",
            "layers.1.ffn:remove=0",
        ]
    )
    assert found == {
        "layers.0.attention": SiteEdit(keep=frozenset({1, 4, 5})),
        "layers.1.ffn": SiteEdit(0.25, remove=frozenset({0})),
    }


def test_a_unit_that_is_kept_and_removed_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match=r"layers\.0\.ffn cannot keep and remove 3-4 at once"):
        merge(["layers.0.ffn:keep=1-4", "layers.0.ffn:remove=3-9"])


@given(units)
def test_spans_name_each_unit_once(chosen: set[int]) -> None:
    (edit,) = merge([f"layers.0.ffn:keep={spans(chosen)}"]).values()
    assert edit.keep == chosen
    assert spans([]) == ""


# -- in a recipe --------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(edits, max_size=6))
def test_recipes_with_edits_survive_address_and_json(chosen: list[str]) -> None:
    spec = PruneSpec.create(edits=tuple(chosen))
    assert PruneSpec.from_query(spec.to_query()) == spec
    assert PruneSpec.model_validate_json(spec.model_dump_json()) == spec
    assert PruneSpec.create(**spec.model_dump()).key == spec.key


def test_the_spelling_does_not_change_the_key() -> None:
    first = PruneSpec.create(edits=("layers.0.ffn:keep=1,2,3",))
    assert PruneSpec.create(edits=(" layers.0.ffn:keep=1-3", "layers.0.ffn:keep=3,1-2")) == first
    assert PruneSpec().key != first.key


@pytest.mark.parametrize(
    ("edits", "message"), [(["layers.0.ffn:keep=x"], "is no edit"), (["layers.0.ffn:ratio=0"] * (MAX_EDITS + 1), "200")]
)
def test_a_recipe_refuses_what_is_no_edit(edits: list[str], message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        PruneSpec.create(edits=edits)


# -- on a site ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "allocated", "kept"),
    [
        ({}, 5, 5),
        ({"ratio": 0.25}, 5, 9),
        ({"ratio": 0.0}, 5, 12),
        ({"ratio": 0.95}, 5, 1),
        ({"keep": {0, 1, 2}}, 2, 3),
        ({"keep": {0, 1, 2}}, 5, 5),
        ({"remove": {0, 1, 2}}, 12, 9),
        ({"remove": {0, 1, 2}}, 5, 5),
        ({"ratio": 0.0, "remove": {0, 1, 2}}, 5, 9),
        ({"ratio": 0.95, "keep": {0, 1}, "remove": set(range(2, 12))}, 5, 2),
    ],
)
def test_how_many_stay(edit: dict[str, Any], allocated: int, kept: int) -> None:
    assert settled(NEURONS, allocated, of(**edit)) == kept


def test_heads_that_share_keys_and_values_stay_or_go_together() -> None:
    assert settled(HEADS, 1, of(keep={0, 1, 5})) == 2
    assert settled(HEADS, 3, of(remove={5})) == 2
    assert best_bundles(HEADS, np.array([3.0, 2.0, 1.0]), 2, of(keep={5}, remove={1})).tolist() == [1, 2]


@given(st.floats(0, 0.95), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)), st.integers(1, 12))
def test_what_is_kept_stays_and_what_is_removed_goes(
    ratio: float, keep: set[int], remove: set[int], count: int
) -> None:
    edit = of(ratio=ratio, keep=keep - remove, remove=remove)
    if len(remove) == NEURONS.units:
        with pytest.raises(EmptySiteError, match="keep at least one"):
            check_edits({NEURONS.name: edit}, [NEURONS])
        return
    check_edits({NEURONS.name: edit}, [NEURONS])
    left = set(best_bundles(NEURONS, np.zeros(12), settled(NEURONS, count, edit), edit).tolist())
    assert edit.keep <= left
    assert not left & remove
    assert left


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "layers.9.ffn",
            {"ratio": 0.5},
            r"layers\.9\.ffn is edited, and the layers of this model are 0 to \d+; change",
        ),
        (NEURONS.name, {"keep": {12}}, "has the units 0 to 11, not 12"),
        (HEADS.name, {"remove": {5, 6, 7}}, "has the units 0 to 5, not 6-7"),
        (HEADS.name, {"keep": {2}, "remove": {3}}, "go in groups of 2, and group 1 is both kept and removed"),
        (HEADS.name, {"remove": {1, 2, 5}}, "keep at least one"),
    ],
)
def test_edits_that_do_not_fit_the_model_are_refused(name: str, edit: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        check_edits({name: of(**edit)}, [HEADS, NEURONS])


def of(ratio: float | None = None, keep: Any = (), remove: Any = ()) -> SiteEdit:
    return SiteEdit(ratio, frozenset(keep), frozenset(remove))


@given(st.none() | st.floats(0, 0.95), st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)))
def test_what_is_written_merges_to_the_same(ratio: float | None, keep: set[int], remove: set[int]) -> None:
    rounded = None if ratio is None else round(ratio, 6)
    edit = SiteEdit(rounded, frozenset(keep - remove), frozenset(remove))
    assert merge(written("layers.3.ffn", edit)).get("layers.3.ffn", SiteEdit()) == edit


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)), st.integers(0, 4), st.booleans())
def test_a_flipped_bundle_is_on_the_other_side(keep: set[int], remove: set[int], bundle: int, kept: bool) -> None:
    edit = SiteEdit(0.5, frozenset(keep - remove), frozenset(remove))
    units = {2 * bundle, 2 * bundle + 1}
    changed = flipped(edit, units, kept)
    assert units <= (changed.remove if kept else changed.keep)
    assert not changed.keep & changed.remove
    assert (changed.keep - units, changed.remove - units) == (edit.keep - units, edit.remove - units)
    assert changed.ratio == edit.ratio


def settled(site: Site, allocated: int, edit: SiteEdit) -> int:
    return settled_counts(PruneSpec(), [site], {site.name: allocated}, {site.name: edit})[site.name]
