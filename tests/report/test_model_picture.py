"""Picture of the model: as many squares and bars as units, their colours, and the words of each site."""

from __future__ import annotations

import re

import pytest

from liar.report.pages.model_picture import model_picture
from liar.report.pages.svg import colour_of
from liar.results import SiteReport
from liar.sites import Site
from tests.shipped import shipped_run


def site(kind: str, units: int, kept: list[int], layer: int = 0, **errors: float) -> SiteReport:
    return SiteReport.model_validate(
        {
            "name": f"layers.{layer}.{kind}",
            "layer": layer,
            "kind": kind,
            "units": units,
            "kept": len(kept),
            "kept_units": kept,
            "error": errors,
            "norm_aware_error": {},
        }
    )


def paths(markup: str) -> dict[str, int]:
    """Number of shapes in the filled and in the hollow paths."""
    found = re.findall(r'<path class="(\w+)" d="([^"]*)"', markup)
    return {name: sum(path.count("M") for kind, path in found if kind == name) for name in ("unit", "gone")}


def test_a_head_is_a_square_filled_if_it_stays() -> None:
    assert paths(model_picture([site("attention", 12, [0, 5])], "liar")) == {"unit": 2, "gone": 10}


@pytest.mark.parametrize("units", [7, 36, 100, 1536])
def test_the_bars_of_neurons_are_as_high_as_their_shares(units: int) -> None:
    markup = model_picture([site("ffn", units, [*range(0, units, 2)])], "liar")
    heights = [float(high) for high in re.findall(r"v-([\d.]+)h", markup)]
    assert 0.35 < sum(heights) / 24 / min(36, units) < 0.65
    assert max(heights) <= 24
    whole = re.findall(r"v-([\d.]+)h", model_picture([site("ffn", units, [*range(units)])], "liar"))
    assert {float(high) for high in whole} == {24.0}


def test_both_states_have_their_colour_and_words() -> None:
    markup = model_picture([site("ffn", 8, [1], none=0.5, liar=0.02)], "liar", is_cut=True)
    assert f"--cut:{colour_of(0.5)};--repaired:{colour_of(0.02)};" in markup
    assert 'data-words="Layer 0: 1 of 8 neurons stay; error 0.5 cut, 0.02 repaired."' in markup
    assert 'class="model cut"' in markup
    assert 'class="model repaired"' in model_picture([site("ffn", 8, [1])], "liar")
    assert "--cut" not in model_picture([site("ffn", 8, [1])], "liar"), "an error that is not known has no colour"


def test_sites_that_are_not_pruned_are_whole_and_lead_nowhere() -> None:
    markup = model_picture([site("ffn", 8, [1])], "liar", [Site(0, "attention", 4), Site(0, "ffn", 8)])
    assert paths(markup) == {"unit": 4 + 1, "gone": 0}
    assert 'data-site=""' in markup
    assert model_picture([], "liar") == ""


@pytest.mark.parametrize(
    ("model", "layers", "rows"), [("demo/minilm-sentiment", 6, (6, 3)), ("demo/smollm2-135m", 30, (15, 8))]
)
def test_a_row_holds_what_a_page_can_show(model: str, layers: int, rows: tuple[int, int]) -> None:
    run = shipped_run(model)
    markup = model_picture(run.sites, run.spec.reconstruction, selected=run.sites[0].name)
    assert markup.count("<svg") == layers
    assert "--wide:{};--narrow:{}".format(*rows) in markup
    assert f"The {layers} layers of the model" in markup
    assert markup.count("site selected") == 1
    assert len(markup) < 40_000, "it is sent with every move of the slider"


def test_a_layer_that_went_is_hollow_its_kinds_that_nothing_pruned_too() -> None:
    sites = [site("ffn", 8, [1, 2], layer=0), site("ffn", 8, [], layer=1)]
    whole = [Site(layer, "attention", 4) for layer in range(2)]
    assert paths(model_picture(sites, "liar", whole)) == {"unit": 4 + 2, "gone": 4}
