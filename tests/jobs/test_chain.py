"""A chain of stages in one run: whole layers, then heads or neurons of those that are left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from liar import LoadedModel, PruneSpec, RunResult, load_model, run, save_model
from liar.errors import EmptySiteError, InvalidSpecError
from liar.explore.forecast import check_covered
from liar.explore.need import Need
from liar.jobs.meet_need import meet_steps
from liar.jobs.sweep import sweep_steps
from liar.progress import finish
from liar.report.headline import headline
from liar.report.words.findings import findings
from liar.report.words.sentences import recipe, short_recipe, verdict
from liar.results import removed_layers
from liar.spec import SweepSpec
from tests import tiny
from tests.fake_atlas import tiny_atlas
from tests.jobs.conftest import finished, spec

LAYERS, GONE, WIDTH = 6, 2, 32
SCHEDULES = ("one-shot", "sequential", "corrective")


@pytest.fixture
def model() -> LoadedModel:
    return tiny.language_model(layers=LAYERS)


def chain(text: str, **choices: Any) -> PruneSpec:
    return spec(text, **{"layers": 0.34, "ratio": 0.5, "targets": "both", "schedule": "corrective", **choices})


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(torch.arange(4, 24).unsqueeze(0)).logits
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
def test_a_chain_is_its_stages_one_after_the_other(model: LoadedModel, text: str, targets: str, schedule: str) -> None:
    asked = chain(text, targets=targets, schedule=schedule)
    last = finished(asked, model)
    short = finished(asked.model_copy(update={"targets": "layers", "ratio": asked.layers, "layers": 0.0}), model)
    by_hand = finished(asked.model_copy(update={"layers": 0.0}), short.model)
    assert torch.equal(logits(last.model), logits(by_hand.model))
    assert last.result.tried == short.result.tried
    assert last.result.attenuation == by_hand.result.attenuation
    assert last.result.totals.parameters_after == by_hand.result.totals.parameters_after
    gone = removed_layers(last.result.sites)
    assert gone == removed_layers(short.result.sites)
    assert len(gone) == GONE
    assert {site.layer for site in last.result.sites} == set(range(LAYERS)), "layers have the names of the dense model"
    left = [site for site in last.result.sites if site.layer not in gone]
    assert [site.name for site in left] == [f"layers.{site.layer}.{site.kind}" for site in left]
    assert [(site.kept_units, site.error) for site in left] == [
        (site.kept_units, site.error) for site in by_hand.result.sites
    ]
    assert len(model.adapter.layers) == LAYERS, "a model that is passed in never changes"


def test_what_is_cut_has_neither_patch_nor_repair(model: LoadedModel, text: str) -> None:
    last = finished(chain(text, targets="ffn"), model)
    gone = removed_layers(last.result.sites)
    stay = [layer for layer in range(LAYERS) if layer not in gone]
    kept = {site.layer: site.kept_units for site in last.result.sites}
    with last.variants.using("pruned") as pruned:
        for place, layer in enumerate(stay):
            cut, dense = (each.adapter.layers[index].mlp.down_proj for each, index in ((pruned, place), (model, layer)))
            assert torch.equal(cut.weight, dense.weight[:, kept[layer]]), layer
            assert cut.bias is None or not cut.bias.any()


def test_it_is_saved_and_loaded(model: LoadedModel, text: str, tmp_path: Path) -> None:
    last = finished(chain(text), model)
    saved = save_model(last.model, tmp_path / "saved", last.result)
    assert torch.equal(logits(load_model(str(saved.folder))), logits(last.model))
    again = run(spec(text, ratio=0.25), last.model)
    assert {site.layer for site in again.sites} == set(range(LAYERS - GONE)), "a model that is taken on counts anew"


def test_it_is_told_in_the_order_of_its_stages(model: LoadedModel, text: str) -> None:
    result = run(chain(text, targets="ffn"), model)
    assert verdict(result).startswith("2 of 6 layers, then half of the neurons gone")
    assert headline(result).startswith("34 % of layers, 50 % of neurons gone")
    assert "34 % of the layers, then 50 % of the FFN neurons" in recipe(result.spec)
    assert short_recipe(result.spec).startswith("34 % of layers, 50 % of neurons: ")
    gone = removed_layers(result.sites)
    assert any(f"went first, and layer {gone[0] - 1} replaces them" in words for words in findings(result))


def test_layers_alone_have_one_spelling_and_one_key() -> None:
    alone = PruneSpec(layers=0.2, ratio=0)
    assert alone == PruneSpec(targets="layers", ratio=0.2)
    assert alone.key == PruneSpec(targets="layers", ratio=0.2).key
    assert PruneSpec.from_query("layers=0.2&ratio=0").key == alone.key
    assert PruneSpec(layers=0.2).at(0.0) == alone
    assert PruneSpec.from_query(PruneSpec(layers=0.1).to_query()) == PruneSpec(layers=0.1)
    with pytest.raises(InvalidSpecError, match="the ratio is the share of layers"):
        PruneSpec.create(targets="layers", layers=0.2)


def test_a_sweep_calibrates_each_chain_anew(model: LoadedModel, text: str) -> None:
    sweep = SweepSpec(base=chain(text, schedule="one-shot"), ratios=(0.25, 0.5))
    found = [each for each in sweep_steps(sweep, model) if isinstance(each, RunResult)]
    assert [each.spec.ratio for each in found] == [0.25, 0.5]
    assert found[1].sites == run(sweep.specs[1], model).sites


@pytest.mark.parametrize("share", [0.9, 0.7, 0.6])
def test_a_need_counts_layers_and_neurons(model: LoadedModel, text: str, share: float) -> None:
    asked = chain(text, targets="ffn", allocation="uniform")
    met = finish(meet_steps(Need("parameters", share), asked, model)).spec
    totals = run(met, model).totals
    assert totals.parameters_after <= share * totals.parameters_before + WIDTH
    if ratio := met.ratio if met.cuts_width else 0:
        more = run(asked.model_copy(update={"ratio": ratio - 0.05}), model).totals
        assert more.parameters_after > share * totals.parameters_before - WIDTH
    layers = asked.model_copy(update={"targets": "layers", "layers": 0.0})
    totals = run(finish(meet_steps(Need("parameters", share), layers, model)).spec, model).totals
    assert totals.parameters_after <= share * totals.parameters_before + WIDTH


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"layers": 0.9}, EmptySiteError, "A ratio of 0.9 would leave 1 of 6 layers"),
        ({"edits": ("layers.0.ffn:ratio=0.2",)}, InvalidSpecError, "remove no layers"),
        ({"reconstruction": "liar"}, InvalidSpecError, "Whole layers have the reconstructions"),
    ],
)
def test_what_a_chain_cannot_have_is_one_sentence(
    model: LoadedModel, text: str, choices: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(chain(text, **choices), model)


def test_nothing_predicts_a_chain() -> None:
    with pytest.raises(InvalidSpecError, match="What whole layers cost is not known"):
        check_covered(PruneSpec(layers=0.1), tiny_atlas())
