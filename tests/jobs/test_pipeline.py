"""Whole runs of tiny random models: events, determinism, stopping, refused specs, and the facts in the result."""

from __future__ import annotations

import copy
import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from liar import calibrate, run, stream
from liar.calibration.activations import walk
from liar.data import corpora
from liar.errors import InsufficientMemoryError, InvalidSpecError, StorageError
from liar.events import Calibrated, Finished, Generated, Loaded, Progress, SiteDone, Warned
from liar.jobs import pipeline
from liar.jobs.stages import reduction
from liar.maths.criteria import channels_of
from liar.maths.moments import SiteMomentsAccumulator
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.models.surgery import ConsumerParameters, shrink
from liar.sites import Site
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS, SCHEDULES
from tests import tiny
from tests.jobs.conftest import spec


def test_events_come_in_order_and_end_with_the_result(model: LoadedModel, text: str) -> None:
    events = list(stream(spec(text), model, prompts=["a b c"], max_new_tokens=3))
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds[0] is Loaded
    assert kinds[-1] is Finished
    assert kinds.count(SiteDone) == len(model.adapter.sites())
    assert kinds.index(Calibrated) < kinds.index(SiteDone)
    assert kinds.count(Generated) == 3
    result = events[-1].result
    assert [site.name for site in result.sites] == [site.name for site in model.adapter.sites()]
    assert [item.variant for item in result.generations] == ["dense", "pruned", "reconstructed"]
    progress = [event for event in events if isinstance(event, Progress) and event.stage == "prune"]
    assert [event.done for event in progress] == list(range(1, len(result.sites) + 1))
    assert all(event.seconds_left is not None for event in progress)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_passed_model_is_never_changed_and_equal_specs_give_equal_results(
    model: LoadedModel, text: str, schedule: str, allocation: str
) -> None:
    before = copy.deepcopy(model.model.state_dict())
    chosen = spec(text, schedule=schedule, allocation=allocation)
    first, second = run(chosen, model), run(chosen, model)
    assert first.sites == second.sites
    assert first.totals == second.totals
    after = model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("criterion", "schedule"), [*((name, "one-shot") for name in CRITERIA), *(("kfac", name) for name in SCHEDULES[1:])]
)
def test_every_criterion_and_schedule_reports_every_error(
    model: LoadedModel, text: str, criterion: str, schedule: str
) -> None:
    result = run(spec(text, criterion=criterion, schedule=schedule), model)
    for site in result.sites:
        assert list(site.error) == list(RECONSTRUCTIONS)
        assert list(site.norm_aware_error) == list(RECONSTRUCTIONS)
        assert all(value >= 0 for value in site.error.values())
        assert site.error["bias"] <= site.error["none"] + 1e-9
        assert site.error["scale"] <= site.error["none"] + 1e-9
        assert site.error["least-squares"] <= site.error["bias"] + 1e-9
        assert site.kept == len(site.kept_units)
        assert site.kept_units == sorted(set(site.kept_units))
        assert max(site.kept_units) < site.units


def test_a_ratio_of_zero_changes_nothing(model: LoadedModel, text: str) -> None:
    result = run(spec(text, ratio=0), model, prompts=["a b c d"])
    assert result.totals.parameters_after == result.totals.parameters_before
    assert all(error == pytest.approx(0, abs=1e-12) for site in result.sites for error in site.error.values())
    assert len({item.text for item in result.generations}) == 1


@pytest.mark.parametrize("stop_after", [Loaded, Calibrated, SiteDone])
def test_closing_between_events_leaves_nothing_behind(model: LoadedModel, text: str, stop_after: type) -> None:
    events = stream(spec(text), model)
    for event in events:
        if isinstance(event, stop_after):
            break
    working = weakref.ref(events.gi_frame.f_locals["job"].loaded.model)
    assert working() is not None
    del event
    events.close()
    gc.collect()
    assert working() is None
    assert not any(module._forward_pre_hooks for module in model.model.modules())


@pytest.mark.parametrize(
    ("tokens", "choices", "warns"),
    [
        (32, {}, True),
        (128, {}, True),
        (160, {}, False),
        (128, {"criterion": "fluctuation", "reconstruction": "bias"}, False),
        (128, {"criterion": "obs", "reconstruction": "bias"}, True),
    ],
)
def test_few_tokens_give_a_warning_if_something_is_fitted_to_them(
    model: LoadedModel, text: str, tokens: int, choices: dict[str, Any], warns: bool
) -> None:
    """The sites have 48 channels, so 144 tokens are enough."""
    events = list(stream(spec(text, tokens=tokens, targets="ffn", **choices), model))
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert events[-1].result.warnings == warned
    assert len(warned) == int(warns)
    if warns:
        assert "few for the 48 channels" in warned[0]
        assert "take 144 or more" in warned[0]


@pytest.mark.parametrize("choices", [{}, {"criterion": "taylor"}, {"criterion": "fisher", "allocation": "global"}])
def test_a_head_with_one_output_spreads_the_ratio_by_what_it_feels(text: str, choices: dict[str, str]) -> None:
    """The softmax of one logit is constant, and its zero gradient would prune only the first sites, to the floor."""
    result = run(spec(text, **choices), tiny.classifier(("score",)))
    assert any(0.1 < site.kept / site.units < 0.9 for site in result.sites if site.kind == "ffn")


@pytest.mark.parametrize("reconstruction", [name for name in RECONSTRUCTIONS if name != "least-squares"])
def test_with_any_other_repair_corrective_is_sequential(model: LoadedModel, text: str, reconstruction: str) -> None:
    corrective, sequential = (
        run(spec(text, schedule=schedule, reconstruction=reconstruction), model)
        for schedule in ("corrective", "sequential")
    )
    assert corrective.sites == sequential.sites
    assert corrective.attenuation is None


def test_a_text_of_one_word_leaves_the_last_norm_as_it_is(model: LoadedModel, tmp_path: Path) -> None:
    """Every state of such a text is the same, and the slope of what is left would make every logit zero."""
    (tmp_path / "river.txt").write_text("r " * 3000)
    *_, last = stream(spec(str(tmp_path / "river.txt")), model)
    assert torch.equal(last.model.adapter.last_norm().weight, model.adapter.last_norm().weight)
    assert last.result.attenuation == 1
    assert any("the gain of the last norm stays as it was" in warning for warning in last.result.warnings)


@pytest.mark.parametrize(("outputs", "attenuated"), [(1, False), (3, True)])
def test_the_number_of_a_head_with_one_output_is_not_drawn_towards_zero(
    model: LoadedModel, text: str, outputs: int, attenuated: bool
) -> None:
    config = LlamaConfig(**{**model.model.config.to_dict(), "num_labels": outputs})
    score = LlamaForSequenceClassification(config).eval()
    score.model.load_state_dict(model.model.model.state_dict())
    rewarding = dataclasses.replace(model, model=score, adapter=adapt(score))
    assert (run(spec(text), rewarding).attenuation is not None) == attenuated


def test_a_scarce_text_has_another_beside_it_for_the_attenuation_alone(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below four tokens for each of 48 channels; the slope of the states of that text, between two plain forwards."""
    noted = Mock(wraps=walk)
    monkeypatch.setattr(reduction, "walk", noted)
    *_, last = stream(spec(text, tokens=160, reconstruction="least-squares"), model)
    (unseen,) = noted.call_args.kwargs["unseen"]
    assert unseen["input_ids"].shape == (1, 32)
    pruned, gain = last.model, last.result.attenuation
    pruned.adapter.attenuate(1 / gain)  # as it was when the slope was taken
    with torch.no_grad():
        states = [each.model.base_model(**unseen).last_hidden_state[0].double() for each in (model, pruned)]
    dense, left = (rows - rows.mean(dim=0) for rows in states)
    assert gain == pytest.approx(float((dense * left).sum() / left.square().sum()), rel=2e-3)

    monkeypatch.setattr(corpora, "SCARCE", 0)
    alone = run(last.result.spec, model)
    assert not noted.call_args.kwargs["unseen"]
    assert alone.sites == last.result.sites, "no repair sees it"
    assert alone.attenuation != gain


def test_a_scarce_text_of_which_there_is_no_more_serves_for_both(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text(" ".join("abcdefghij"[place % 10] for place in range(160)))
    assert run(spec(str(tmp_path / "short.txt"), tokens=160), model).attenuation is not None


@pytest.mark.parametrize("schedule", ["sequential", "corrective"])
def test_the_error_is_that_of_the_installed_weights(
    model: LoadedModel, text: str, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E|Y' - Y|^2 / E|Y|^2 of the consumer's outputs before and after, on the inputs that the run had, token by token."""
    model.model.to(torch.bfloat16)
    original = SiteMomentsAccumulator.update
    monkeypatch.setattr(
        SiteMomentsAccumulator, "update", lambda self, rows: (seen.append(rows.double()), original(self, rows))[1]
    )
    seen: list[torch.Tensor] = []
    found: dict[str, float] = {}

    def noted(adapter: Adapter, site: Site, bundles: torch.Tensor, parameters: ConsumerParameters) -> None:
        rows, old = torch.cat(seen), adapter.consumer(site).weight.double()
        seen.clear()
        bias = 0 if parameters.bias is None else parameters.bias.double()
        kept = channels_of(site, bundles)
        lost = rows[:, kept] @ parameters.weight.double().T + bias - rows @ old.T
        found[site.name] = float(lost.square().sum() / (rows @ old.T).square().sum())
        shrink(adapter, site, bundles, parameters)

    monkeypatch.setattr(reduction, "shrink", noted)
    chosen = spec(text, schedule=schedule, dtype="bfloat16")
    calibration = calibrate(model, text, tokens=640, sequence_length=32, sensitivity=True, outputs=True)
    seen.clear()
    result = run(chosen, model, calibration=calibration)
    for site in result.sites:
        assert site.error["least-squares"] == pytest.approx(found[site.name], rel=1e-3)
        assert site.uncorrected_error < site.error["least-squares"] or site.kept == site.units


# -- edits by hand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("allocation", ["uniform", "loss-curve"])
def test_a_run_honours_edits(model: LoadedModel, text: str, schedule: str, allocation: str) -> None:
    """Each pair of query heads shares keys and values, so both heads of a pair are kept or removed."""
    plain = spec(text, schedule=schedule, allocation=allocation)
    before = {site.name: site for site in run(plain, model).sites}
    kept, *_ = before["layers.1.ffn"].kept_units
    removed = min(set(range(before["layers.1.ffn"].units)) - set(before["layers.1.ffn"].kept_units))
    edits = (
        *("layers.0.attention:ratio=0", "layers.1.attention:keep=3", "layers.1.attention:ratio=0.5"),
        *("layers.0.ffn:ratio=0.25", f"layers.1.ffn:keep={removed}", f"layers.1.ffn:remove={kept}"),
    )
    after = {site.name: site for site in run(plain.model_copy(update={"edits": edits}), model).sites}
    assert after["layers.0.attention"].kept_units == [0, 1, 2, 3]
    assert after["layers.1.attention"].kept_units == [2, 3]
    assert (after["layers.0.ffn"].kept, len(after["layers.0.ffn"].kept_units)) == (36, 36)
    assert after["layers.1.ffn"].kept == before["layers.1.ffn"].kept
    assert removed in after["layers.1.ffn"].kept_units
    assert kept not in after["layers.1.ffn"].kept_units


# -- what is refused ----------------------------------------------------------------------------------------------------


FULL_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried")
FULL_DISK = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("failure", "error", "words"),
    [(FULL_MEMORY, InsufficientMemoryError, "fewer calibration tokens"), (FULL_DISK, StorageError, "disk is full")],
)
def test_a_full_memory_and_a_full_disk_become_sentences(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch, failure: Exception, error: type, words: str
) -> None:
    monkeypatch.setattr(reduction, "walk", Mock(side_effect=failure))
    with pytest.raises(error, match=words):
        run(spec(text), model)


def test_the_result_names_the_model_that_was_pruned(model: LoadedModel, text: str) -> None:
    chosen = spec(text, criterion="fluctuation", allocation="uniform").model_copy(update={"model": "demo/minilm"})
    result = run(chosen, model)
    assert result.spec.model == result.model.id == model.id
    assert result.spec == chosen.model_copy(update={"model": model.id})


@pytest.mark.parametrize(
    ("choices", "prompts", "message"),
    [
        ({"sequence_length": 512}, (), "The sequence length 512 is above the 128 positions"),
        ({"evaluate": ("perplexity",), "evaluate_length": 300}, (), "measured sequences 300 is above the 128"),
        ({"evaluate": ("sentiment",)}, (), "sentiment needs a classifier's head"),
        ({}, ("a " * 120,), "model has 128 positions for prompt and answer"),
        ({}, (" ",), "prompt is empty"),
        ({"targets": "ffn", "edits": ("layers.0.attention:ratio=0",)}, (), "not among the pruned sites"),
        ({"targets": "heads", "ratio": 0.9}, (), r"layers\.0\.attention.*at most 0\.50"),
    ],
)
def test_what_a_small_model_cannot_do_is_refused_before_the_work(
    text: str, choices: dict[str, object], prompts: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((pipeline, "read_text"), (reduction, "walk")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("began to work"))
    with pytest.raises(InvalidSpecError, match=message):
        run(spec(text, **choices), tiny.language_model(positions=128), prompts=prompts)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_was_calibrated_on_is_in_the_result(model: LoadedModel, text: str, schedule: str) -> None:
    chosen = spec(text, schedule=schedule, criterion="fluctuation", allocation="uniform")
    result = run(chosen, model)
    assert (result.calibration.source, result.calibration.split) == (text, None)
    assert result.calibration.tokens >= chosen.tokens
    calibration = calibrate(
        model, text, tokens=chosen.tokens, sequence_length=chosen.sequence_length, targets=chosen.targets
    )
    assert run(chosen, model, calibration=calibration).calibration == result.calibration


def test_texts_of_a_pair_are_distinguished_forward_and_backward(tmp_path: Path) -> None:
    """Token types change activations and gradients; without them the recipe would keep other units."""
    path = tmp_path / "pairs.csv"
    path.write_text("premise,hypothesis\n" + "\n".join(f"a b c {tiny.LETTERS[n % 26]},d e" for n in range(80)))
    loaded = tiny.pair_classifier()
    found = {}
    for types in (2, 1):
        loaded.model.config.type_vocab_size = types
        calibration = calibrate(loaded, str(path), tokens=300, sequence_length=16, gradients=True)
        found[types] = calibration.gradients["layers.0.ffn"].taylor, next(iter(calibration.moments.values())).plain.mean
    for with_types, without in zip(found[2], found[1], strict=True):
        assert not torch.allclose(with_types, without)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"spec": {"ratio": 0.5}}, r"spec is of type dict; give a liar\.PruneSpec\."),
        ({"loaded": "tiny"}, r"loaded is of type str; give what liar\.load_model returns\."),
        ({"prompts": "one text"}, "prompts is of type str; give a list of texts"),
        ({"prompts": [5]}, "prompts is of type list; give a list of texts"),
        ({"criterion": "obs"}, "criterion is of type str; give a function of Evidence"),
        ({"calibration": {}}, r"calibration is of type dict; give what liar\.calibrate returns\."),
    ],
)
def test_arguments_of_another_kind_are_refused(
    model: LoadedModel, text: str, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidSpecError, match=sentence):
        run(**{"spec": spec(text), "loaded": model, **wrong})
