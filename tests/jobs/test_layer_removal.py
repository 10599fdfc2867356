"""Removal of whole layers: what goes, what is left, that it loads elsewhere, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from liar import LoadedModel, PruneSpec, RunResult, run, save_model
from liar.errors import EmptySiteError, InvalidSpecError, LiarError, UnsupportedModelError
from liar.explore.need import Need
from liar.jobs.mask_table import mask_table_steps
from liar.jobs.meet_need import meet_steps
from liar.jobs.stages import layer_removal
from liar.jobs.sweep import sweep_steps
from liar.maths.patch import PATCHES
from liar.models.families import adapt
from liar.progress import finish
from liar.report.words.sentences import recipe, short_recipe, verdict
from liar.spec import SweepSpec
from tests import families, tiny
from tests.jobs.conftest import finished, spec

LAYERS = 6


@pytest.fixture
def model() -> LoadedModel:
    return tiny.language_model(layers=LAYERS)


def layers_of(text: str, **choices: Any) -> PruneSpec:
    return spec(text, **{"targets": "layers", "ratio": 0.34, **choices})


def removed(result: RunResult) -> list[int]:
    return sorted({site.layer for site in result.sites if site.kept == 0})


def test_of_the_runs_with_little_error_that_goes_which_moves_the_output_least(model: LoadedModel, text: str) -> None:
    result = finished(layers_of(text), model).result
    longest = [one for one in result.tried if one.layers == 2]
    least = min(one.norm_aware_error for one in longest)
    compared = [one for one in result.tried if one.divergence is not None]
    assert compared == [one for one in longest if one.norm_aware_error <= layer_removal.NEAR * least]
    assert removed(result)[0] == min(compared, key=lambda one: one.divergence or 0).first


def test_the_block_before_the_run_is_patched(model: LoadedModel, text: str) -> None:
    last = finished(layers_of(text), model)
    result = last.result
    assert sorted((one.layers, one.first) for one in result.tried) == [
        *((1, first) for first in range(1, 6)),
        *((2, first) for first in range(1, 5)),
    ]
    best = min((one for one in result.tried if one.divergence is not None), key=lambda one: one.divergence or 0)
    assert removed(result) == [best.first, best.first + 1]
    with_errors = [site for site in result.sites if site.error]
    assert [site.name for site in with_errors] == [f"layers.{best.first - 1}.ffn"]
    for errors in (with_errors[0].error, with_errors[0].norm_aware_error):
        assert set(errors) == set(PATCHES)
        assert errors["least-squares"] < errors["bias"] < errors["none"]
    assert len(last.model.adapter.layers) == last.model.model.config.num_hidden_layers == LAYERS - 2
    assert len(model.adapter.layers) == LAYERS, "a model that is passed in never changes"
    patched = last.model.adapter.layers[best.first - 1].mlp.down_proj
    untouched = model.adapter.layers[best.first - 1].mlp.down_proj
    assert not torch.equal(patched.weight, untouched.weight)
    assert result.totals.parameters_after < result.totals.parameters_before


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(torch.arange(4, 24).unsqueeze(0)).logits
    return found


@pytest.mark.parametrize("reconstruction", ["none", "least-squares"])
def test_without_a_patch_the_layers_are_simply_gone(model: LoadedModel, text: str, reconstruction: str) -> None:
    last = finished(layers_of(text, reconstruction=reconstruction), model)
    gone = removed(last.result)
    model.adapter.remove_blocks(range(gone[0], gone[-1] + 1))
    with last.variants.using("pruned") as pruned:
        torch.testing.assert_close(logits(pruned), logits(model))
    assert torch.equal(logits(last.model), logits(model)) == (reconstruction == "none")


def test_what_is_saved_is_an_ordinary_checkpoint(model: LoadedModel, text: str, tmp_path: Path) -> None:
    last = finished(layers_of(text), model)
    saved = save_model(last.model, tmp_path / "saved", last.result)
    assert saved.form == "stock"
    elsewhere = AutoModelForCausalLM.from_pretrained(saved.folder)
    assert elsewhere.config.num_hidden_layers == LAYERS - 2
    with torch.no_grad():
        assert torch.equal(elsewhere(torch.arange(4, 24).unsqueeze(0)).logits, logits(last.model))
    assert "2 of 6 layers gone" in (saved.folder / "README.md").read_text()


def test_what_is_left_can_be_pruned_further(model: LoadedModel, text: str) -> None:
    """Layers first, then heads and neurons of what is left."""
    last = finished(layers_of(text), model)
    again = run(spec(text, allocation="uniform", criterion="wanda"), last.model)
    assert {site.layer for site in again.sites} == set(range(LAYERS - 2))
    assert sum(site.kept for site in again.sites) * 2 == sum(site.units for site in again.sites)


def test_equal_recipes_give_equal_bits(model: LoadedModel, text: str) -> None:
    first, second = (finished(layers_of(text), model) for _ in range(2))
    assert first.result.tried == second.result.tried
    assert torch.equal(logits(first.model), logits(second.model))


def test_the_sample_chooses_and_all_of_the_text_repairs(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finished(layers_of(text), model)
    monkeypatch.setattr(layer_removal, "CURVE_TOKENS", 2)
    sampled = finished(layers_of(text), model)
    assert whole.result.tried != sampled.result.tried
    assert removed(whole.result) == removed(sampled.result)
    assert torch.equal(logits(whole.model), logits(sampled.model))


def test_a_ratio_of_nothing_removes_nothing(model: LoadedModel, text: str) -> None:
    result = run(layers_of(text, ratio=0.05), model)
    assert removed(result) == []
    assert "Nothing was removed" in verdict(result)


@pytest.mark.parametrize("name", families.DECODERS)
def test_each_pre_norm_family_runs_on_without_a_layer(name: str) -> None:
    """The config of what is left describes it, and its cache of keys and values agrees with a forward of all tokens."""
    model = families.build(name)
    adapter = adapt(model)
    if not adapter.loses_blocks:
        pytest.skip("its layers stay")
    adapter.remove_blocks(range(1, 2))
    ids = torch.arange(3, 23).unsqueeze(0)
    rebuilt = type(model)(type(model.config).from_dict(model.config.to_dict())).double().eval()
    rebuilt.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(ids).logits, rebuilt(ids).logits)
        with_cache, without = (
            model.generate(ids, max_new_tokens=9, do_sample=False, use_cache=use) for use in (True, False)
        )
    assert torch.equal(with_cache, without)


def test_words_name_the_layers_and_no_choice_that_was_not_read(model: LoadedModel, text: str) -> None:
    result = run(layers_of(text), model)
    assert verdict(result).startswith("2 of 6 layers gone")
    assert "33 % of the layers" in recipe(layers_of(text, ratio=0.33))
    for words in (recipe(result.spec), short_recipe(result.spec)):
        assert "kfac" not in words
        assert "loss-curve" not in words


def test_a_sweep_of_ratios(model: LoadedModel, text: str) -> None:
    sweep = SweepSpec(base=layers_of(text), ratios=(0.2, 0.5))
    results = [step for step in sweep_steps(sweep, model) if isinstance(step, RunResult)]
    assert [len(removed(result)) for result in results] == [1, 3]
    several = SweepSpec(base=layers_of(text), ratios=(0.2,), reconstructions=("none", "liar"))
    with pytest.raises(InvalidSpecError, match="not liar"):
        next(sweep_steps(several, model))


REFUSED: list[tuple[dict[str, Any], type[LiarError], str]] = [
    ({"ratio": 0.9}, EmptySiteError, "would leave 1 of 6 layers; at least 2 stay: choose a ratio of at most 0.67"),
    ({"reconstruction": "liar"}, InvalidSpecError, "have the reconstructions none, bias and least-squares"),
    ({"reconstruction": "scale"}, InvalidSpecError, "not scale"),
    ({"edits": ("layers.0.ffn:keep=0",)}, InvalidSpecError, "Edits by hand are of heads and neurons"),
    ({}, UnsupportedModelError, "choose neurons or heads"),
]


@pytest.mark.parametrize(("choices", "error", "words"), REFUSED, ids=["ratio", "liar", "scale", "edits", "bert"])
def test_what_is_refused_before_the_text_is_read(
    model: LoadedModel, choices: dict[str, Any], error: type[LiarError], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(layers_of("/no/such/text.txt", **choices), tiny.classifier() if error is UnsupportedModelError else model)


@pytest.mark.parametrize(
    "steps",
    [
        lambda chosen, model: mask_table_steps(chosen, ("wanda",), ("none",), model),
        lambda chosen, model: meet_steps(Need.read("1.5 x"), chosen, model),
    ],
    ids=["masks", "need"],
)
def test_masks_and_needs_are_of_units(model: LoadedModel, text: str, steps: Callable[..., Any]) -> None:
    with pytest.raises(InvalidSpecError, match="are of heads and neurons"):
        finish(steps(layers_of(text), model))
