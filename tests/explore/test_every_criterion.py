"""What is predicted of every criterion equals the forecast of each of these recipes."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.errors import InvalidSpecError
from liar.explore.forecast import RATIOS, divergence, every_criterion, forecast
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS, PruneSpec
from tests.fake_atlas import tiny_atlas

specs = st.builds(
    PruneSpec,
    targets=st.sampled_from(["ffn", "heads", "both"]),
    allocation=st.sampled_from(ALLOCATIONS),
    reconstruction=st.sampled_from(RECONSTRUCTIONS),
    multiple=st.sampled_from([1, 4]),
    edits=st.sampled_from([(), ("layers.1.ffn:ratio=0.1",)]),
)


@given(specs, st.sampled_from(CRITERIA), st.integers(0, 60).map(lambda percent: percent / 100))
def test_it_is_the_forecast_of_every_recipe(spec: PruneSpec, criterion: str, ratio: float) -> None:
    if spec.targets == "heads":
        spec = spec.model_copy(update={"edits": ()})
    atlas = tiny_atlas(spec)
    expected = forecast(spec.model_copy(update={"criterion": criterion, "ratio": ratio}), atlas)
    loss = every_criterion(spec, atlas, (ratio,))[criterion][ratio]
    assert loss.error == pytest.approx(fmean(site.error[spec.reconstruction] for site in expected.sites))
    assert loss.divergence == pytest.approx(divergence(expected, atlas))


def test_a_ratio_that_leaves_a_site_without_units_is_left_out() -> None:
    spec = PruneSpec(targets="heads")
    found = every_criterion(spec, tiny_atlas(spec))
    assert list(found) == list(CRITERIA)
    for losses in found.values():
        assert list(losses) == [ratio for ratio in RATIOS if ratio <= 0.8]  # three groups of heads


def test_without_sensitivities_the_mean_error_alone_is_known() -> None:
    spec = PruneSpec(allocation="uniform")
    atlas = tiny_atlas(spec)
    atlas = replace(atlas, facts=atlas.facts.model_copy(update={"sensitive": False}))
    loss = every_criterion(spec, atlas, (0.5,))["obs"][0.5]
    assert loss.error > 0
    assert loss.divergence is None
    with pytest.raises(InvalidSpecError, match="No curves for loss-curve"):
        every_criterion(spec.model_copy(update={"allocation": "loss-curve"}), atlas)
