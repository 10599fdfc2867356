"""Asking by what is needed: words, counts and curves become a ratio, and impossible needs one sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar import PruneSpec
from liar.errors import InvalidSpecError
from liar.explore.allocation import nearest_removed
from liar.explore.atlas import Atlas, KindFacts
from liar.explore.atlas_store import SHIPPED_ATLASES, AtlasStore
from liar.explore.forecast import forecast
from liar.explore.need import Need, predicted_loss, ratio_for, ratio_of_loss, spread
from liar.explore.sizes import Sizes, parameters_left
from liar.presets import DEMO, PRESETS
from liar.spec import MAX_RATIO, SiteKind
from tests.fake_atlas import KINDS

MODELS = [preset.id for preset in PRESETS if preset.id.startswith(DEMO) and preset.task is not None]


@pytest.mark.parametrize(
    ("words", "need"),
    [
        ("70 %", Need("parameters", 0.7)),
        ("70%", Need("parameters", 0.7)),
        ("60 MB", Need("size", 60e6)),
        ("0.5gib", Need("size", 2.0**29)),
        ("1.5GB@4096", Need("memory", 1.5e9, 4096)),
        ("300 MB @ 2,048 tokens", Need("memory", 3e8, 2048)),
        ("1.5 x", Need("loss", 1.5)),
        ("2 times", Need("loss", 2.0)),
        ("95 % of the accuracy", Need("quality", 0.95)),
        ("90% accuracy", Need("quality", 0.9)),
    ],
)
def test_needs_in_words(words: str, need: Need) -> None:
    assert Need.read(words) == need


@pytest.mark.parametrize(
    "words",
    [
        "",
        "much",
        "0.5",
        "120 %",
        "0 %",
        "1 x",
        "0.2x",
        "-3 MB",
        "12",
        "MB",
        "1e3 y",
        "101 % of the accuracy",
        "1GB@",
        "1GB@0",
        "1GB@x",
        "@9",
        "70 %@9",
    ],
)
def test_what_is_no_need_is_one_sentence(words: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        Need.read(words)
    assert str(caught.value).endswith((".", "%."))


def atlas_of(model: str) -> tuple[PruneSpec, Atlas]:
    spec = PruneSpec(model=model, targets="both")
    atlas = AtlasStore(SHIPPED_ATLASES).find(spec)
    return spec, atlas


@pytest.mark.parametrize("allocation", ["uniform", "loss-curve"])
@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_those_of_the_forecast(model: str, targets: str, allocation: str) -> None:
    spec, atlas = atlas_of(model)
    spec = spec.model_copy(update={"targets": targets, "allocation": allocation})
    sizes = Sizes.of(atlas.facts)
    before = sizes.parameters
    for ratio in (0.25, 0.5):
        left = forecast(spec.model_copy(update={"ratio": ratio}), atlas).totals.parameters_after
        assert parameters_left(spec, sizes, ratio) == pytest.approx(
            left, abs=1 if allocation == "uniform" else 0.002 * before
        )
    share = parameters_left(spec, sizes, 0.4) / before
    found = ratio_for(Need("parameters", share * (1 + 1e-9)), spec, sizes)
    assert found <= 0.4
    assert parameters_left(spec, sizes, found) <= share * before + 1
    assert ratio_for(Need("size", 4 * share * before * (1 + 1e-9)), spec, sizes) == found


def sizes_with(bundles: int) -> Sizes:
    """Of a model of 1,000 parameters, 600 of them in one site of so many bundles."""
    sizes = {"units": bundles, "bundle_parameters": 600 // bundles, "layers": [0]}
    kinds: dict[SiteKind, KindFacts] = {
        "ffn": KINDS["ffn"].model_copy(update={**sizes, "bias_fixed": 0, "bias_per_bundle": 0})
    }
    return Sizes(1000, 700, kinds, 4)


UNIFORM = PruneSpec(allocation="uniform")


@given(st.floats(0.01, 0.99), st.sampled_from([3, 10, 600]))
def test_a_share_that_can_be_had_is_met_and_others_name_the_nearest(share: float, bundles: int) -> None:
    need, sizes = Need("parameters", share), sizes_with(bundles)

    def left(ratio: float) -> float:
        return parameters_left(UNIFORM, sizes, ratio)

    least = min(left(ratio / 100) for ratio in range(1, 96) if nearest_removed(bundles, ratio / 100) < bundles)
    if share * 1000 < least:
        with pytest.raises(InvalidSpecError, match=f"leaves less than {least / 10:.1f} % of the parameters;"):
            ratio_for(need, UNIFORM, sizes)
        return
    found = ratio_for(need, UNIFORM, sizes)
    assert left(found) <= share * 1000
    assert found == round(found, 2)
    assert found == 0.01 or left(round(found - 0.01, 2)) > share * 1000


def test_the_whole_model_is_no_need() -> None:
    with pytest.raises(InvalidSpecError, match="no larger"):
        ratio_for(Need("parameters", 1.0), UNIFORM, sizes_with(10))


@given(st.floats(1.01, 50), st.floats(0.1, 5))
def test_the_greatest_ratio_within_a_loss(most: float, steep: float) -> None:
    def predicted(ratio: float) -> float:
        return math.exp(steep * ratio)

    if predicted(0.01) > most:
        with pytest.raises(InvalidSpecError, match="already has more"):
            ratio_of_loss(most, predicted)
        return
    found = ratio_of_loss(most, predicted)
    assert predicted(found) <= most
    assert found == MAX_RATIO or predicted(found + 0.01) > most


@pytest.mark.parametrize("model", MODELS)
def test_the_predicted_loss_grows_with_the_ratio(model: str) -> None:
    spec, atlas = atlas_of(model)
    losses = [predicted_loss(spec.model_copy(update={"ratio": ratio}), atlas) for ratio in (0.1, 0.3, 0.5, 0.7)]
    assert 1 < losses[0] < losses[1] < losses[2] < losses[3]


@pytest.mark.parametrize("share", [0.97, 0.88, 0.7, 0.5, 0.3, 0.25])
def test_half_of_what_goes_are_layers_and_more_if_the_rest_cannot_go(share: float) -> None:
    spec, atlas = atlas_of("demo/smollm2-135m")
    spec = spec.model_copy(update={"targets": "ffn"})
    sizes, need = Sizes.of(atlas.facts), Need("parameters", share)
    chain = spread(need, spec, sizes)
    ratio = ratio_for(need, chain, sizes)
    assert parameters_left(chain, sizes, ratio) <= share * sizes.parameters
    of_layers = nearest_removed(30, chain.layers) * sizes.blocks / 30
    gone = (1 - share) * sizes.parameters
    assert gone / 2 <= of_layers <= gone
    assert of_layers < gone / 2 + sizes.blocks / 30 or share < 0.5
    kept = replace(sizes, loses_layers=False)
    assert spread(need, spec, kept) == spec, "of a model whose layers cannot go"
    assert spread(need, spec, replace(kept, windows=())) == spec.model_copy(update={"targets": "both"}), "of an encoder"
    assert spread(Need("loss", 1.5), spec, sizes) == spec


def test_a_need_below_all_layers_but_two_is_one_sentence() -> None:
    spec, atlas = atlas_of("demo/smollm2-135m")
    sizes, need = replace(Sizes.of(atlas.facts), loses_layers=True), Need("parameters", 0.1)
    with pytest.raises(InvalidSpecError, match=r"leaves less than 2\d\.\d %"):
        ratio_for(need, spread(need, spec, sizes), sizes)
