"""The picture of a block shows the share of each kind of unit that stays, and says it in words."""

from __future__ import annotations

import re

import pytest

from liar.report.pages.svg import block_picture
from liar.results import SiteReport
from liar.spec import SiteKind
from tests.fakes import site


def of(kind: SiteKind, units: int, *kept: int) -> list[SiteReport]:
    return [
        site(layer, kind).model_copy(update={"units": units, "kept": stay, "kept_units": list(range(stay))})
        for layer, stay in enumerate(kept)
    ]


@pytest.mark.parametrize(("kept", "drawn"), [((12, 12), 12), ((6, 6), 6), ((12, 0), 6), ((1, 0), 0)])
def test_as_many_heads_stay_as_in_the_mean_layer(kept: tuple[int, ...], drawn: int) -> None:
    picture = block_picture(of("attention", 12, *kept))
    attention = picture.split("</g>")[0]
    assert (attention.count('"unit"'), attention.count('"unit gone"')) == (drawn, 12 - drawn)
    assert f"Of the 24 heads of 2 layers {sum(kept)} stay." in picture
    assert "The neurons are not touched by this recipe" in picture
    assert picture.count("untouched") == 1


def test_many_neurons_are_drawn_as_few() -> None:
    picture = block_picture([*of("ffn", 1536, 384), *of("attention", 12, 12)])
    assert picture.count('"unit gone"') == 36
    assert "untouched" not in picture
    assert "Of the 1,536 neurons of 1 layer 384 stay." in picture


def test_of_an_unknown_recipe_nothing_is_said_to_be_untouched() -> None:
    picture = block_picture([])
    assert "untouched" not in picture
    assert "not touched" not in picture
    assert "What stays is not known yet." in picture


def test_everything_lies_inside_the_picture() -> None:
    picture = block_picture(of("attention", 64, 40))
    _, _, width, height = map(int, re.findall(r'viewBox="(\d+) (\d+) (\d+) (\d+)"', picture)[0])
    for x, y, wide, high in re.findall(r'x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', picture):
        assert float(x) + float(wide) <= width
        assert float(y) + float(high) <= height
