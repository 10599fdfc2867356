"""A view shares the address with the recipe; an invalid choice is left out without the loss of the others."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from liar.report.view import DIFFERENCES, SHOWS, View
from liar.spec import RECONSTRUCTIONS, PruneSpec


def test_no_name_is_one_of_the_recipe() -> None:
    assert not View.model_fields.keys() & PruneSpec.model_fields.keys()


def test_only_what_differs_is_in_the_address() -> None:
    assert View().to_query() == ""
    assert parse_qsl(View(show="bias-liar").to_query()) == [("show", "bias-liar")]


def test_an_address_holds_the_whole_view() -> None:
    view = View(
        tab="trade-off",
        layout="full",
        show="least-squares",
        scale="linear",
        weighting="norm-aware",
        colours="fit",
        site="layers.3.ffn",
        hide="criterion,generations",
    )
    assert View.from_pairs(parse_qsl(view.to_query())) == (view, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tab", "<script>"),
        ("layout", ""),
        ("show", "liar-liar"),
        ("scale", "LOG"),
        ("site", "layers.3.ffn\n"),
        ("hide", "body"),
        ("hide", "criterion,*{}"),
        ("site", "layers.12345.ffn"),
        ("site", "x" * 10_000),
    ],
)
def test_an_invalid_choice_is_left_out_with_a_complaint(name: str, value: str) -> None:
    view, complaints = View.from_pairs([("weighting", "norm-aware"), (name, value)])
    assert view == View(weighting="norm-aware")
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{name} should be")
    assert len(complaints[0]) < 300


def test_the_recipe_is_left_to_the_recipe() -> None:
    assert View.from_pairs([("ratio", "99"), ("nonsense", "1")]) == (View(), [])


def test_every_name_of_a_view_is_all_strips_one_or_a_difference() -> None:
    views = {show: View(show=show) for show in SHOWS}
    assert {show for show, view in views.items() if view.difference} == set(DIFFERENCES)
    assert all(bool(view.difference) != bool(view.strips) for view in views.values())
    assert views["all"].strips == RECONSTRUCTIONS
    assert all(View.from_pairs([("show", show)]) == (view, []) for show, view in views.items())
