"""The allocation ``checked``: candidates with their repairs, compared on text that no moment of the choice has seen."""

from __future__ import annotations

from math import log, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar import PruneSpec, RunResult, run, stream
from liar.calibration.calibrate import calibrate
from liar.calibration.divergences import answers_steps, divergence_steps, masked, pieces_of, restored
from liar.calibration.sample import sample_of, tokens_of
from liar.data.corpora import HELD_TEXTS, calibration_batches, held_text_steps
from liar.errors import CalibrationError, InsufficientMemoryError, NonFiniteError
from liar.events import Finished
from liar.jobs import checked
from liar.jobs.decide import decide
from liar.maths.criteria import Evidence, score
from liar.maths.divergence import of_distributions, of_numbers, of_yes_or_no
from liar.models import precision
from liar.models.adapter import Adapter, Batch
from liar.models.catalog import LoadedModel, working_copy
from liar.models.memory import PlannedWork
from liar.models.surgery import ConsumerParameters, install, shrink
from liar.progress import finish
from liar.sites import Site
from liar.spec import SCHEDULES, Targets
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


# -- divergences --------------------------------------------------------------------------------------------------------

logits = st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=5)


@given(logits, st.integers(0, 100))
def test_divergences_are_those_of_torch_and_never_negative(rows: list[list[float]], seed: int) -> None:
    dense = torch.tensor(rows, dtype=torch.float64).float()
    pruned = dense + torch.randn(dense.shape, generator=torch.Generator().manual_seed(seed))
    found = of_distributions(dense, pruned)
    p, q = dense.double().log_softmax(-1), pruned.double().log_softmax(-1)
    expected = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert (found >= -1e-6).all()
    assert (of_distributions(dense, dense) == 0).all()
    assert (of_yes_or_no(dense, dense) == 0).all()
    both = torch.distributions.kl_divergence(
        torch.distributions.Bernoulli(logits=dense.double()), torch.distributions.Bernoulli(logits=pruned.double())
    )
    torch.testing.assert_close(of_yes_or_no(dense, pruned), both.sum(-1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(of_numbers(dense, pruned), (dense - pruned).double().square().sum(-1) / 2)


def test_a_class_that_is_none_adds_nothing() -> None:
    dense = torch.tensor([[0.0, 0.0, -torch.inf]])
    pruned = torch.tensor([[log(3.0), 0.0, -torch.inf]])
    assert float(of_distributions(dense, pruned)) == pytest.approx(log(2 / 3**0.5))


# -- candidates ---------------------------------------------------------------------------------------------------------


def answers(model: LoadedModel, batches: list[Batch]) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.model(**batch).logits.flatten(0, 1) for batch in batches])


def divergence(model: LoadedModel, batches: list[Batch], candidate: dict[Site, ConsumerParameters]) -> float:
    pieces = pieces_of(model.adapter, batches)
    dense = finish(answers_steps(model.adapter, pieces))
    for site, parameters in candidate.items():
        install(model.adapter, site, parameters)
    return finish(divergence_steps(model.adapter, pieces, dense))


@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
def test_a_masked_candidate_answers_as_the_smaller_model(
    text: str, model: LoadedModel, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_half", lambda: False)
    batches = calibration_batches(text, model, 256, 32, 0)
    moments = calibrate(model, text, tokens=512, sequence_length=32).moments
    small = working_copy(model, PlannedWork())
    candidate: dict[Site, ConsumerParameters] = {}
    for site in model.adapter.sites(targets):
        consumer = model.adapter.consumer(site)
        weight = consumer.weight.T
        scores = score("obs", Evidence(site, moments[site].plain, weight))
        decision = decide(site, scores, site.bundles // 2, moments[site].plain, weight)
        parameters = ConsumerParameters.install_of(consumer, decision.solutions["least-squares"])
        candidate[site] = masked(consumer.weight, decision.channels, parameters)
        shrink(small.adapter, site, decision.bundles, parameters)
    small.adapter.after_surgery(small.adapter.sites(targets))
    dense = answers(model, batches)
    with restored(model.adapter, list(candidate)):
        assert divergence(model, batches, {}) == 0
        found = divergence(model, batches, candidate)
        torch.testing.assert_close(answers(model, batches), answers(small, batches), rtol=1e-4, atol=1e-4)
    assert torch.equal(answers(model, batches), dense), "the dense consumers are back"
    assert all(model.adapter.consumer(site).bias is None for site in model.adapter.sites())
    assert found == pytest.approx(float(of_distributions(dense, answers(small, batches)).mean()), rel=1e-3)
    monkeypatch.setattr(precision, "has_fast_half", lambda: True)
    with restored(model.adapter, list(candidate)):
        fast = divergence(model, batches, candidate)
    assert found != fast == pytest.approx(found, rel=0.05)


@pytest.mark.parametrize("maker", [tiny.classifier, tiny.language_model])
def test_padding_does_not_matter(maker: object, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_half", lambda: False)
    model: LoadedModel = maker()  # type: ignore[operator]
    (batch,) = calibration_batches(text, model, 40, 16, 0)
    padded = {name: torch.nn.functional.pad(tensor, (0, 5)) for name, tensor in batch.items() if tensor.ndim == 2}
    site = model.adapter.sites("ffn")[0]
    zero = {site: ConsumerParameters(torch.zeros_like(model.adapter.consumer(site).weight), None)}
    found = []
    for each in (batch, padded):
        with restored(model.adapter, [site]):
            found.append(divergence(model, [each], zero))
    assert found[0] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-3)


# -- runs ---------------------------------------------------------------------------------------------------------------


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
    real = checked.attenuate

    def noted(adapter: Adapter, factor: float) -> None:
        assert torch.equal(adapter.last_norm().weight, norm.weight)  # type: ignore[union-attr]
        changed.append(factor)
        real(adapter, factor)

    monkeypatch.setattr(checked, "attenuate", noted)
    result = run(spec(text, schedule="corrective"), model)
    assert len(changed) == len(result.checked)
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
    sampled = chosen.surveys_sample
    shared = calibrate(model, text, tokens=TOKENS, sequence_length=32, sensitivity=True, outputs=True, sampled=sampled)
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
    loaded = calibrate(model, text, tokens=TOKENS, sequence_length=32, sensitivity=True, sampled=True)
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
