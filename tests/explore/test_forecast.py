"""A forecast equals the report of a one-shot run, without the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from statistics import fmean
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from hypothesis import given
from hypothesis import strategies as st

from liar import Calibration, PruneSpec, calibrate, run
from liar.choices import IMPORTANCE, Criterion
from liar.errors import EmptySiteError, InvalidSpecError
from liar.events import Event, Progress
from liar.explore.atlas import RATIOS, Atlas, KindArrays
from liar.explore.forecast import RATIOS as EVERY_RATIO
from liar.explore.forecast import Forecast, every_criterion, forecast
from liar.jobs.draw_atlas import atlas_steps
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import RunResult
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS
from tests import cut_models, tiny
from tests.fake_atlas import tiny_atlas

TEXT = {"tokens": 640, "sequence_length": 32}
HIGHEST = 1.15
"""The curves of scale, liar and least-squares bound the error from above. On real sites, with eight tokens for each channel,
they are 7 % higher on average and 12.5 % at most: what the ridge takes for its penalty."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A calibration file of letters, each 1 to 3 places after the one before, so that they are predictable."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(0, 26, (120, 1), generator=generator)
    walks = (starts + torch.randint(1, 4, (120, 30), generator=generator).cumsum(1)) % 26
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    path.write_text("\n\n".join(" ".join(tiny.LETTERS[letter] for letter in row) for row in walks.tolist()))
    return str(path)


@dataclass(frozen=True)
class Bench:
    """A model with its atlas and with a calibration shared by all runs, both computed on the same text."""

    loaded: LoadedModel
    base: PruneSpec
    atlas: Atlas
    calibration: Calibration

    def compare(self, **choices: Any) -> tuple[Forecast, RunResult]:
        spec = PruneSpec.create(**{**self.base.model_dump(), **choices})
        return forecast(spec, self.atlas), run(spec, self.loaded, calibration=self.calibration)


MAKERS = {
    "llama": tiny.language_model,
    "bert": lambda: tiny.classifier(positions=64),
    **{name: partial(cut_models.loaded, name) for name in ("llama-biased", "llama-tied", "qwen2")},
}


@cache
def bench(name: str, text: str) -> Bench:
    loaded = MAKERS[name]()
    base = PruneSpec.create(model=loaded.id, calibration=text, targets="both", schedule="one-shot", **TEXT)
    atlas = finish(atlas_steps(loaded, base))
    return Bench(loaded, base, atlas, calibrate(loaded, text, gradients=True, sensitivity=True, outputs=True, **TEXT))


# -- compared with the run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("model", ["llama", "bert"])
def test_uniform_is_forecast_to_the_unit_and_to_the_parameter(
    model: str, criterion: Criterion, ratio: float, text: str
) -> None:
    for reconstruction in RECONSTRUCTIONS:
        expected, measured = bench(model, text).compare(
            criterion=criterion, ratio=ratio, allocation="uniform", reconstruction=reconstruction
        )
        assert [site.name for site in expected.sites] == [site.name for site in measured.sites]
        assert [site.kept_units for site in expected.sites] == [site.kept_units for site in measured.sites]
        assert expected.totals == measured.totals
        assert_errors(expected, measured)


@pytest.mark.parametrize("model", ["llama", "bert"])
def test_rounding_is_forecast(model: str, text: str) -> None:
    expected, measured = bench(model, text).compare(ratio=0.4, allocation="uniform", multiple=16)
    assert_errors(expected, measured)
    assert [site.kept for site in expected.sites] == [site.kept for site in measured.sites]


@pytest.mark.parametrize("allocation", [name for name in ALLOCATIONS if name != "uniform"])
@pytest.mark.parametrize("model", ["llama", "bert"])
def test_the_other_allocations_are_forecast_to_the_last_step(model: str, allocation: str, text: str) -> None:
    """An atlas stores half the digits, which may decide between near-equal sites: at most one bundle of difference."""
    at = bench(model, text)
    cost = {chart.site.name: chart.facts.bundle_parameters / chart.site.group for chart in at.atlas.sites}
    bundle = max(chart.facts.bundle_parameters for chart in at.atlas.sites)
    alike = total = 0
    for criterion in CRITERIA:
        for reconstruction in RECONSTRUCTIONS:
            expected, measured = at.compare(
                criterion=criterion, ratio=0.3, allocation=allocation, reconstruction=reconstruction
            )
            for site, twin in zip(expected.sites, measured.sites, strict=True):
                assert abs(site.kept - twin.kept) * cost[site.name] <= bundle
            total += 1
            if [site.kept for site in expected.sites] == [site.kept for site in measured.sites]:
                alike += 1
                assert [site.kept_units for site in expected.sites] == [site.kept_units for site in measured.sites]
                assert expected.totals == measured.totals
                assert_errors(expected, measured)
    assert alike >= 0.8 * total


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("model", ["llama-biased", "llama-tied", "qwen2"])
def test_biases_that_a_repair_adds_are_counted_as_the_family_adds_them(
    model: str, reconstruction: str, text: str
) -> None:
    for targets in ("ffn", "heads", "both"):
        expected, measured = bench(model, text).compare(
            targets=targets, ratio=0.4, allocation="uniform", reconstruction=reconstruction
        )
        assert expected.totals == measured.totals


@pytest.mark.parametrize("model", ["llama", "bert"])
def test_edits_are_forecast_as_a_run_honours_them(model: str, text: str) -> None:
    edits = (
        *("layers.0.attention:ratio=0", "layers.1.attention:keep=3", "layers.0.ffn:ratio=0.25"),
        *("layers.0.ffn:keep=0-4", "layers.1.ffn:remove=7,9"),
    )
    expected, measured = bench(model, text).compare(edits=edits, allocation="uniform")
    kept = {site.name: site.kept_units for site in expected.sites}
    assert kept == {site.name: site.kept_units for site in measured.sites}
    assert kept["layers.0.attention"] == [0, 1, 2, 3]
    assert 3 in kept["layers.1.attention"]
    assert {0, 1, 2, 3, 4} <= set(kept["layers.0.ffn"])
    assert not {7, 9} & set(kept["layers.1.ffn"])
    assert expected.totals == measured.totals


@pytest.mark.parametrize("model", ["llama", "bert"])
def test_heads_chosen_by_hand_are_forecast_as_they_are_measured(model: str, text: str) -> None:
    """Also if the best heads are removed: a site with few bundles has stored errors for every choice."""
    at = bench(model, text)
    chart = at.atlas.site("layers.1.attention")
    best = int(chart.order("obs")[0]) * chart.site.group
    edits = (f"layers.1.attention:remove={best}",)
    expected, measured = at.compare(edits=edits, targets="heads", allocation="uniform", criterion="obs", ratio=0.5)
    site, twin = expected.sites[1], measured.sites[1]
    assert best not in twin.kept_units
    assert site.error.keys() == {"none", "bias", "scale", "least-squares"}, (
        "liar depends on the row space of what is kept"
    )
    for name, error in site.error.items():
        assert twin.error[name] * (1 - 1e-3) <= error <= twin.error[name] * HIGHEST
    curve = chart.error_at("obs", "none", site.kept // chart.site.group)
    assert abs(site.error["none"] - curve) > 0.01, "the curve of the best ones would be wrong"


def test_neurons_chosen_by_hand_have_no_error_unless_it_is_known(text: str) -> None:
    atlas = bench("llama", text).atlas
    best, *_, worst = atlas.site("layers.1.ffn").order("obs").tolist()
    removed, as_before = (
        forecast(PruneSpec(ratio=0.5, allocation="uniform", edits=(f"layers.1.ffn:remove={unit}",)), atlas).sites
        for unit in (best, worst)
    )
    assert removed[0].error.keys() == set(RECONSTRUCTIONS)
    assert (removed[1].error, removed[1].norm_aware_error) == ({}, {})
    assert as_before[1].error.keys() == set(RECONSTRUCTIONS), "the worst would have gone anyway"


def test_edits_that_leave_all_as_it_is_add_no_bias(text: str) -> None:
    whole = tuple(f"layers.{layer}.{kind}:ratio=0" for layer in (0, 1) for kind in ("ffn", "attention"))
    expected, measured = bench("llama", text).compare(edits=whole, allocation="uniform")
    assert expected.totals == measured.totals
    assert expected.totals.parameters_after == expected.totals.parameters_before


def assert_errors(expected: Forecast, measured: RunResult) -> None:
    for site, twin in zip(expected.sites, measured.sites, strict=True):
        for name in ("none", "bias"):
            assert site.error[name] == pytest.approx(twin.error[name], rel=1e-5, abs=1e-9)
        for name in ("scale", "liar", "least-squares"):
            assert twin.error[name] * (1 - 1e-5) - 1e-9 <= site.error[name] <= twin.error[name] * HIGHEST + 1e-9
        assert site.norm_aware_error["none"] == pytest.approx(twin.norm_aware_error["none"], rel=1e-5, abs=1e-9)
        for name in RECONSTRUCTIONS:  # the curve fits to norm-aware moments, the run to plain ones
            assert site.norm_aware_error[name] <= twin.norm_aware_error[name] * HIGHEST + 1e-9


# -- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"targets": "heads", "ratio": 0.9}, EmptySiteError, r"layers\.0\.attention.*at most 0\.67"),
        ({"edits": ("layers.0.attention:ratio=0",)}, InvalidSpecError, "not among the pruned sites"),
        ({"edits": ("layers.0.ffn:keep=60",)}, InvalidSpecError, "the units 0 to 59"),
    ],
)
def test_what_does_not_fit_is_refused(choices: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        forecast(PruneSpec(**choices), tiny_atlas())


def test_a_reconstruction_that_the_atlas_lacks_is_refused() -> None:
    atlas = tiny_atlas()
    facts = atlas.facts.model_copy(update={"reconstructions": ["none", "bias"]})
    with pytest.raises(InvalidSpecError, match="No curves of scale are at hand"):
        forecast(PruneSpec(reconstruction="scale"), replace(atlas, facts=facts))


def test_a_model_without_a_loss_has_no_curves_that_need_one(text: str) -> None:
    loaded = tiny.mute()
    atlas = finish(atlas_steps(loaded, PruneSpec(model=loaded.id, calibration=text, **TEXT)))
    assert not atlas.facts.sensitive
    assert atlas.facts.criteria == [name for name in CRITERIA if IMPORTANCE[name].gradients is None]
    spec = PruneSpec(model=loaded.id, criterion="obs", allocation="error-curve")
    assert forecast(spec, atlas).sites
    with pytest.raises(InvalidSpecError, match="loss-curve"):
        forecast(spec.model_copy(update={"allocation": "loss-curve"}), atlas)
    with pytest.raises(InvalidSpecError, match="taylor"):
        forecast(spec.model_copy(update={"criterion": "taylor"}), atlas)


# -- every criterion ----------------------------------------------------------------------------------------------------


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
    assert loss.divergence == pytest.approx(expected.divergence)


def test_a_ratio_that_leaves_a_site_without_units_is_left_out() -> None:
    spec = PruneSpec(targets="heads")
    found = every_criterion(spec, tiny_atlas(spec))
    assert list(found) == list(CRITERIA)
    for losses in found.values():
        assert list(losses) == [ratio for ratio in EVERY_RATIO if ratio <= 0.8]  # three groups of heads


def test_without_sensitivities_the_mean_error_alone_is_known() -> None:
    spec = PruneSpec(allocation="uniform")
    atlas = tiny_atlas(spec)
    atlas = replace(atlas, facts=atlas.facts.model_copy(update={"sensitive": False}))
    loss = every_criterion(spec, atlas, (0.5,))["obs"][0.5]
    assert loss.error > 0
    assert loss.divergence is None
    with pytest.raises(InvalidSpecError, match="No curves for loss-curve"):
        every_criterion(spec.model_copy(update={"allocation": "loss-curve"}), atlas)


# -- computing an atlas -------------------------------------------------------------------------------------------------


def test_drawing_reports_progress_and_leaves_the_model_alone(text: str) -> None:
    loaded = tiny.language_model()
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    events: list[Event] = []
    finish(atlas_steps(loaded, PruneSpec(model=loaded.id, calibration=text, **TEXT)), events.append)
    assert {type(event) for event in events} == {Progress}
    assert {event.stage for event in events} == {"calibrate"}
    assert (events[-1].done, events[-1].total) == (4, 4)
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_a_drawn_atlas_survives_its_file_and_closes_its_curves(text: str) -> None:
    atlas = bench("llama", text).atlas
    again = Atlas.from_bytes(atlas.to_bytes())
    assert again.facts == atlas.facts
    assert again.facts.tokens == TEXT["tokens"]
    for item in again.sites:
        assert len(item.arrays.spectrum) == item.site.channels
        assert (item.arrays.spectrum[:-1] >= item.arrays.spectrum[1:]).all()
        assert 1 <= item.arrays.condition < 1e6
        assert (abs(item.arrays.correlation.diagonal() - 1) < 1e-3).all()
        for criterion in CRITERIA:
            assert sorted(item.order(criterion).tolist()) == list(range(item.site.bundles))
            assert (item.scores(criterion)[:-1] >= item.scores(criterion)[1:]).all()
            curve = item.curve(criterion, "none")
            assert len(curve) == len(RATIOS)
            assert (curve[0], curve[-1]) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_a_streamed_model_has_the_curves_that_need_no_backward_pass(text: str) -> None:
    streamed = tiny.language_model()
    cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    atlas = finish(atlas_steps(streamed, PruneSpec(model=streamed.id, calibration=text, **TEXT)))
    whole = bench("llama", text).atlas
    assert not atlas.facts.sensitive
    assert atlas.facts.kinds == whole.facts.kinds
    assert atlas.facts.block_parameters == whole.facts.block_parameters
    at = [whole.facts.criteria.index(name) for name in atlas.facts.criteria]
    for kind, arrays in atlas.arrays.items():
        found: KindArrays = whole.arrays[kind]
        assert (arrays.order == found.order[:, at]).all()
        assert abs(arrays.error - found.error[:, at, :2]).max() < 1e-6


def test_a_family_whose_heads_stay_has_curves_of_its_neurons(text: str) -> None:
    loaded = cut_models.loaded("mpnet")
    spec = PruneSpec(model=loaded.id, calibration=text, **TEXT)
    atlas = finish(atlas_steps(loaded, spec))
    assert list(atlas.facts.kinds) == ["ffn"]
    assert len(forecast(spec, atlas).sites) == len(loaded.adapter.layers)
    with pytest.raises(InvalidSpecError, match=r"The heads of this model cannot go; choose neurons\."):
        forecast(spec.model_copy(update={"targets": "both"}), atlas)
