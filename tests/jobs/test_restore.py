"""The models restored from a stored run have the same units and weights, and restoring measures nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from liar import PruneSpec, RunResult
from liar.errors import InvalidSpecError
from liar.evaluate.answering.ask import ask
from liar.events import Progress
from liar.jobs.restore import restore_steps
from liar.maths.patch import PATCHES
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.progress import finish
from liar.results import removed_layers
from liar.spec import SCHEDULES
from tests import tiny
from tests.jobs import conftest as recipe
from tests.jobs.conftest import finished

RECIPES: list[dict[str, Any]] = [
    {},
    {"criterion": "obs", "allocation": "loss-curve", "multiple": 8},
    {"schedule": "one-shot", "allocation": "error-curve", "reconstruction": "liar"},
    {"reconstruction": "scale", "allocation": "error-curve"},
    {"separator": "end", "seed": 3},
    {"schedule": "corrective", "allocation": "loss-curve"},
    {"reconstruction": "none", "targets": "heads", "edits": ("layers.0.attention:keep=0",)},
    {"vocabulary": "12"},
]
OF_LAYERS: list[dict[str, Any]] = [
    *({"targets": "layers", "reconstruction": patch} for patch in PATCHES),
    *({"targets": "both", "layers": 0.34, "schedule": each} for each in SCHEDULES),
    {"layers": 0.34, "schedule": "corrective", "vocabulary": "12"},
]


def spec(text: str, **choices: Any) -> PruneSpec:
    return recipe.spec(text, **{"criterion": "fluctuation", "allocation": "uniform", **choices})


def restored(result: RunResult, loaded: LoadedModel) -> Variants:
    events: list[object] = []
    variants = finish(restore_steps(result, loaded), events.append)
    assert {type(event) for event in events} == {Progress}, "nothing is evaluated and nothing is asked"
    return variants


def weights(variants: Variants, variant: Any) -> dict[str, torch.Tensor]:
    with variants.using(variant) as loaded:
        return {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}


@pytest.mark.parametrize(
    "choices", RECIPES, ids=["sequential", "obs", "one-shot", "scale", "separator", "corrective", "heads", "vocabulary"]
)
@pytest.mark.parametrize(
    "make", [tiny.language_model, tiny.classifier, tiny.encoder], ids=["llama", "bert", "embedder"]
)
def test_the_restored_models_are_those_of_the_run(
    make: Callable[[], LoadedModel], choices: dict[str, Any], text: str
) -> None:
    dense = make()
    last = finished(spec(text, **choices), dense)
    stored = RunResult.model_validate_json(last.result.model_dump_json())
    again = restored(stored, make())
    for variant in ("dense", "pruned", "reconstructed"):
        before, now = weights(last.variants, variant), weights(again, variant)
        assert before.keys() == now.keys()
        assert all(torch.equal(before[name], now[name]) for name in before), variant
    with again.using("reconstructed") as loaded:
        for report in stored.sites:
            site = next(site for site in make().adapter.sites(stored.spec.targets) if site.name == report.name)
            assert loaded.adapter.consumer(site).in_features == report.kept * site.unit_size
    assert [item for item in ask(again, "a b c", max_new_tokens=2) if not isinstance(item, Progress)]


@pytest.mark.parametrize("choices", OF_LAYERS, ids=lambda choices: "-".join(map(str, choices.values())))
def test_a_run_without_some_layers_is_restored(choices: dict[str, Any], text: str) -> None:
    last = finished(spec(text, **{"ratio": 0.34, **choices}), tiny.language_model(layers=6))
    stored = RunResult.model_validate_json(last.result.model_dump_json())
    assert len(removed_layers(stored.sites)) == 2
    again = restored(stored, tiny.language_model(layers=6))
    for variant in ("dense", "pruned", "reconstructed"):
        before, now = weights(last.variants, variant), weights(again, variant)
        assert before.keys() == now.keys()
        assert all(torch.equal(before[name], now[name]) for name in before), variant
    with pytest.raises(InvalidSpecError, match="not those of the model"):
        finish(restore_steps(stored, tiny.language_model(layers=7)))


def test_the_masks_are_read_and_not_made_anew(text: str) -> None:
    """Stored masks that no criterion would choose are restored as they are."""
    dense = tiny.language_model()
    result = finished(spec(text, allocation="loss-curve", targets="ffn"), dense).result
    odd = [report.model_copy(update={"kept": 5, "kept_units": [0, 7, 11, 30, 47]}) for report in result.sites]
    variants = restored(result.model_copy(update={"sites": odd}), dense)
    for site in dense.adapter.sites("ffn"):
        with variants.using("pruned") as loaded:
            kept = loaded.adapter.consumer(site).weight
        assert torch.equal(kept, dense.adapter.consumer(site).weight[:, [0, 7, 11, 30, 47]])


@pytest.mark.parametrize("units", [[], [48], [3, 1]], ids=["none", "too many", "not in order"])
def test_masks_of_another_model_are_one_sentence(text: str, units: list[int]) -> None:
    dense = tiny.language_model()
    result = finished(spec(text, targets="heads"), dense).result
    odd = [report.model_copy(update={"kept_units": units}) for report in result.sites]
    with pytest.raises(InvalidSpecError, match=r"layers\.0\.attention .* run the recipe again"):
        restored(result.model_copy(update={"sites": odd}), dense)
