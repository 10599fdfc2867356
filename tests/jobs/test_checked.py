"""The allocation ``checked``: candidates with their repairs, compared on text that no moment of the choice has seen."""

from __future__ import annotations

from math import nan

import pytest
import torch
from torch import Tensor

from liar import PruneSpec, RunResult, run, stream
from liar.calibration.calibrate import calibrate
from liar.calibration.sample import sample_of, tokens_of
from liar.data.corpora import HELD_TEXTS, calibration_batches, held_text_steps
from liar.errors import CalibrationError, InsufficientMemoryError, NonFiniteError
from liar.events import Finished
from liar.jobs import checked
from liar.models.adapter import Adapter, Batch
from liar.models.catalog import LoadedModel
from liar.models.surgery import ConsumerParameters
from liar.progress import finish
from liar.sites import Site
from liar.spec import SCHEDULES
from tests import tiny

TOKENS = 1024


def spec(text: str, **choices: object) -> PruneSpec:
    defaults = {
        "calibration": text,
        "tokens": TOKENS,
        "sequence_length": 32,
        "allocation": "checked",
        "targets": "both",
    }
    return PruneSpec.create(**{"model": "tiny/llama", **defaults, **choices})


def outcome(result: RunResult) -> object:
    return result.sites, result.checked, result.totals


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_best_candidate_stays(text: str, model: LoadedModel, schedule: str) -> None:
    chosen = spec(text, schedule=schedule)
    result = run(chosen, model)
    names = [each.name for each in result.checked]
    assert names[0] == "uniform"
    assert len(names) == len(set(names)) > 1
    best = min(result.checked, key=lambda each: each.measured)
    alone = run(chosen.model_copy(update={"allocation": "uniform"}), model)
    uniform = [site.kept for site in alone.sites] == [site.kept for site in result.sites]
    assert uniform == (best.name == "uniform")
    assert outcome(run(chosen, model)) == outcome(result)
    assert RunResult.model_validate_json(result.model_dump_json()).checked == result.checked


@pytest.mark.parametrize("best", ["uniform", "error-curve", "loss-curve", "blend"])
def test_any_candidate_can_be_the_best(text: str, best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, chosen = tiny.language_model(layers=6), spec(text, ratio=0.3)
    candidates: dict[str, checked.Kept] = {}
    real = checked.allocations_of

    def allocations(*arguments: object) -> dict[str, checked.Kept]:
        candidates.update(real(*arguments))  # type: ignore[arg-type]
        return candidates

    def measured(*_: object) -> object:
        tried.append(list(candidates)[len(tried)])
        yield 1
        return 0.0 if tried[-1] == best else 1.0

    tried: list[str] = []
    monkeypatch.setattr(checked, "allocations_of", allocations)
    monkeypatch.setattr(checked, "divergence_steps", measured)
    result = run(chosen, model)
    assert tried == ["uniform", "error-curve", "loss-curve", "blend"], "all of them differ"
    kept = {site.name: site.kept for site in result.sites}
    assert kept == {site.name: candidates[best][site.name] * site.group for site in model.adapter.sites()}, (
        "query heads of a bundle go together"
    )
    if best != "blend":  # which is no allocation of its own
        alone = run(chosen.model_copy(update={"allocation": best}), model)
        assert kept == {site.name: site.kept for site in alone.sites}
        assert [site.error for site in result.sites] == [site.error for site in alone.sites]


@pytest.mark.parametrize("finite", [0, 1])
def test_a_candidate_without_finite_answers_is_none(
    text: str, model: LoadedModel, finite: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    def measured(*_: object) -> object:
        found.append(1.0 if len(found) == finite else nan)
        yield 1
        return found[-1] if finite else nan

    monkeypatch.setattr(checked, "divergence_steps", measured)
    if not finite:
        with pytest.raises(NonFiniteError, match="No candidate of checked"):
            run(spec(text), model)
        return
    result = run(spec(text), model)
    assert [each.measured for each in result.checked] == [1.0]
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_candidates_leave_the_dense_model_as_it_was(
    text: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each candidate of a corrective run has a last norm of its own."""
    norm = model.adapter.last_norm()
    assert norm is not None
    changed: list[float] = []
    real = Adapter.attenuate

    def noted(adapter: Adapter, factor: float) -> None:
        assert torch.equal(adapter.last_norm().weight, norm.weight)  # type: ignore[union-attr]
        changed.append(factor)
        real(adapter, factor)

    monkeypatch.setattr(Adapter, "attenuate", noted)
    result = run(spec(text, schedule="corrective"), model)
    assert len(changed) == len(result.checked) + 1, "and the run itself"
    assert all(0 < factor != 1 for factor in changed)
    assert result.attenuation not in (None, 1.0)


def test_candidates_remove_as_much(text: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[float] = []
    real = checked.allocations_of

    def allocations(
        chosen: PruneSpec, adapter: object, sites: list[object], damages: object
    ) -> dict[str, dict[str, int]]:
        found = real(chosen, adapter, sites, damages)  # type: ignore[arg-type]
        for kept in found.values():
            gone = sum(
                (site.bundles - kept[site.name]) * model.adapter.bundle_parameters(site)
                for site in sites  # type: ignore[attr-defined]
            )
            budgets.append(gone)
        return found

    monkeypatch.setattr(checked, "allocations_of", allocations)
    run(spec(text), model)
    largest = max(model.adapter.bundle_parameters(site) for site in model.adapter.sites())
    assert max(budgets) - min(budgets) <= largest


def rows(batches: list[Batch]) -> set[tuple[int, ...]]:
    """Token ids of the texts, without padding."""
    return {
        tuple(ids[mask.bool()].tolist())
        for batch in batches
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    }


@pytest.mark.parametrize("tokens", [64, TOKENS])
def test_text_held_back_is_not_that_of_the_calibration(text: str, model: LoadedModel, tokens: int) -> None:
    batches, held, used = finish(held_text_steps(spec(text, tokens=tokens), model))
    assert tokens_of(held) == 256
    assert tokens_of(batches) == used.tokens == tokens
    assert not rows(held) & rows(batches)
    assert rows(batches) == rows(calibration_batches(text, model, tokens, 32, 0)), "the same with and without"


def test_texts_of_a_model_that_answers_once_are_counted(text: str) -> None:
    model = tiny.classifier()
    batches, held, used = finish(held_text_steps(spec(text, model=model.id, tokens=256), model))
    assert sum(len(batch["input_ids"]) for batch in held) == len(rows(held)) == 8
    assert not rows(held) & rows(batches)
    alone = calibration_batches(text, model, 256, 32, 0)
    assert all(torch.equal(one["input_ids"], other["input_ids"]) for one, other in zip(batches, alone, strict=True))
    assert used.tokens == tokens_of(alone)
    assert HELD_TEXTS >= 1000, "fewer choose by chance"


def test_fewer_texts_than_wanted_are_all_held_back(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liar.data.corpora.HELD_TEXTS", 1 << 20)
    monkeypatch.setattr("liar.data.corpora.FEWEST_HELD_TEXTS", 8)
    model = tiny.classifier()
    batches, held, _ = finish(held_text_steps(spec(text, model=model.id, tokens=256), model))
    assert len(rows(held)) > 8
    assert not rows(held) & rows(batches)


def test_too_little_text_to_hold_some_back_is_refused_before_the_work(
    text: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liar.jobs.reduction.walk", lambda *_, **__: pytest.fail("began to work"))
    monkeypatch.setattr("liar.data.corpora.HELD_TOKENS", 1 << 20)
    with pytest.raises(
        CalibrationError, match=r"on 1,048,576 tokens of .* give more text, take fewer calibration tokens"
    ):
        run(spec(text, tokens=256), model)
    monkeypatch.setattr("liar.data.corpora.HELD_TEXTS", 1 << 20)
    monkeypatch.setattr("liar.data.corpora.FEWEST_HELD_TEXTS", 1 << 19)
    with pytest.raises(CalibrationError, match=r"on 524,288 texts of .* or the allocation loss-curve"):
        run(spec(text, model="tiny/bert", tokens=256), tiny.classifier())
    monkeypatch.setattr("liar.data.corpora.HELD_TOKENS", 256)
    monkeypatch.setattr("liar.calibration.calibrate.free_bytes", lambda device: 0)
    with pytest.raises(InsufficientMemoryError, match="choose the schedule sequential, or the allocation loss-curve"):
        run(spec(text, schedule="one-shot"), model)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_shared_calibration_changes_nothing(text: str, model: LoadedModel, schedule: str) -> None:
    chosen = spec(text, schedule=schedule)
    shared = calibrate(model, text, tokens=TOKENS, sequence_length=32, sensitivity=True, outputs=True)
    assert outcome(run(chosen, model, calibration=shared)) == outcome(run(chosen, model))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_candidates_are_built_as_the_run_builds_them(
    text: str, model: LoadedModel, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the sample is all of the text, the candidate that stays has the consumers of the result."""
    monkeypatch.setattr("liar.jobs.reduction.sample_of", lambda batches, adapter: batches)
    built: list[Tensor] = []
    real = checked.install

    def install(adapter: Adapter, site: Site, parameters: ConsumerParameters) -> None:
        built.append(parameters.weight)
        real(adapter, site, parameters)

    monkeypatch.setattr(checked, "install", install)
    *_, last = stream(spec(text, schedule=schedule), model)
    assert isinstance(last, Finished)
    assert last.model is not None
    sites = model.adapter.sites()
    names = [each.name for each in last.result.checked]
    best = names.index(min(last.result.checked, key=lambda each: each.measured).name)
    for site, weight in zip(sites, built[best * len(sites) :], strict=False):
        kept = weight.any(dim=0)
        torch.testing.assert_close(weight[:, kept], last.model.adapter.consumer(site).weight, rtol=1e-3, atol=1e-5)


def test_a_stop_leaves_the_consumers_as_they_were(text: str, model: LoadedModel) -> None:
    before = [model.adapter.consumer(site).weight for site in model.adapter.sites()]
    loaded = calibrate(model, text, tokens=TOKENS, sequence_length=32, sensitivity=True)
    chosen = spec(text)
    batches, held, _ = finish(held_text_steps(chosen, model))
    steps = checked.checked_steps(chosen, model.adapter, "obs", loaded, sample_of(batches, model.adapter), held, {})
    for _ in range(12):
        next(steps)
    assert any(
        model.adapter.consumer(site).weight is not was for site, was in zip(model.adapter.sites(), before, strict=True)
    )
    steps.close()
    assert all(
        model.adapter.consumer(site).weight is was for site, was in zip(model.adapter.sites(), before, strict=True)
    )


def test_a_classifier_is_checked_too(text: str) -> None:
    model = tiny.classifier()
    result = run(spec(text, model=model.id), model)
    assert all(each.measured >= 0 for each in result.checked)
