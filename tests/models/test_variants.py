"""The three models of one run: each unchanged by earlier use of the others, and held only if prompts were given."""

from __future__ import annotations

import copy
import gc
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from torch import Tensor, nn

from liar import PruneSpec, run
from liar.errors import InvalidSpecError
from liar.evaluate.answering.generate import generate
from liar.jobs import pipeline
from liar.models import variants as variants_module
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.runtime.offload import resident
from tests import tiny
from tests.jobs import conftest
from tests.jobs.conftest import finished

IDS = torch.arange(4, 24).unsqueeze(0)


def spec(folder: Path, **choices: object) -> PruneSpec:
    return conftest.spec(tiny.letters_file(folder), **{"allocation": "uniform", **choices})


def logits(loaded: LoadedModel) -> Tensor:
    with torch.no_grad():
        return loaded.model(IDS).logits


@pytest.fixture
def dense() -> LoadedModel:
    return tiny.language_model()


@pytest.fixture
def variants(dense: LoadedModel, tmp_path: Path) -> Variants:
    found = finished(spec(tmp_path), dense).variants
    assert found is not None
    return found


def test_only_the_reconstructed_model_is_attenuated(dense: LoadedModel, tmp_path: Path) -> None:
    last = finished(spec(tmp_path, schedule="corrective"), dense)
    found, factor = last.variants, last.result.attenuation
    assert found is not None
    assert factor is not None
    gains = {}
    for variant in ("reconstructed", "pruned", "dense", "pruned", "reconstructed"):
        with found.using(variant) as loaded:  # type: ignore[arg-type]
            norm = loaded.adapter.last_norm()
            assert norm is not None
            assert torch.equal(norm.weight, gains.setdefault(variant, norm.weight.clone()))
    assert torch.equal(gains["pruned"], gains["dense"])
    assert torch.equal(gains["reconstructed"], gains["dense"] * factor)
    assert factor != 1
    assert finished(spec(tmp_path, schedule="sequential"), dense, prompts=[]).result.attenuation is None


def test_every_variant_is_available_and_swaps_back(dense: LoadedModel, tmp_path: Path) -> None:
    same_mask = {"schedule": "one-shot"}
    unrepaired = finished(spec(tmp_path, reconstruction="none", **same_mask), dense).variants
    repaired = finished(spec(tmp_path, **same_mask), dense).variants
    assert unrepaired
    assert repaired
    with unrepaired.using("reconstructed") as loaded:
        bare = logits(loaded)
    with repaired.using("reconstructed") as loaded:
        before = logits(loaded)
    for _ in range(2):
        with repaired.using("pruned") as loaded:
            torch.testing.assert_close(logits(loaded), bare)
        assert torch.equal(logits(loaded), before)
    assert not torch.allclose(before, bare)


def test_a_run_answers_as_its_variants_do(dense: LoadedModel, tmp_path: Path) -> None:
    last = finished(spec(tmp_path), dense)
    assert last.variants is not None
    for stored in last.result.generations:
        with last.variants.using(stored.variant) as loaded:
            again = generate(loaded, stored.prompt, stored.variant, max_new_tokens=3, dense=last.variants.dense)
        assert (again.tokens, again.dense_perplexity) == (stored.tokens, stored.dense_perplexity)
        assert stored.dense_perplexity is not None


def test_the_dense_model_is_the_given_one_unchanged(variants: Variants, dense: LoadedModel) -> None:
    before = copy.deepcopy(dense.model.state_dict())
    for variant in ("pruned", "dense", "reconstructed"):
        with variants.using(variant) as loaded:  # type: ignore[arg-type]
            assert (loaded is dense) == (variant == "dense")
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.model.state_dict().items())


def test_without_a_given_model_there_is_no_dense_variant(
    dense: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "load_model", lambda *_, **__: dense)
    last = finished(spec(tmp_path), None)
    assert last.variants is not None
    with pytest.raises(InvalidSpecError, match="not in memory"), last.variants.using("dense"):
        pass
    assert all(stored.tokens and stored.dense_perplexity is None for stored in last.result.generations)


def test_an_error_inside_and_an_exchange_cut_short_leave_the_reconstructed_model(
    variants: Variants, monkeypatch: pytest.MonkeyPatch
) -> None:
    with variants.using("reconstructed") as loaded:
        before = logits(loaded)
    with suppress(ZeroDivisionError), variants.using("pruned"):
        raise ZeroDivisionError
    assert torch.equal(logits(loaded), before)

    calls: list[nn.Module] = []

    def failing(layer: nn.Module) -> AbstractContextManager[None]:
        calls.append(layer)
        if len(calls) == 2:
            raise MemoryError
        return resident(layer)

    monkeypatch.setattr(variants_module, "resident", failing)
    with pytest.raises(MemoryError), variants.using("pruned"):
        pass
    assert torch.equal(logits(loaded), before)


def test_a_second_thread_waits_for_the_pruned_model(variants: Variants) -> None:
    entered = Event()

    def other() -> None:
        with variants.using("reconstructed"):
            entered.set()

    with variants.using("pruned"):
        thread = Thread(target=other)
        thread.start()
        assert not entered.is_set()
        with variants.using("dense"):  # the dense model never changes, so no wait
            pass
    thread.join(timeout=10)
    assert entered.is_set()


def test_bytes_count_the_pruned_model_and_the_waiting_consumers(variants: Variants) -> None:
    with variants.using("reconstructed") as loaded:
        model = sum(tensor.nbytes for tensor in [*loaded.model.parameters(), *loaded.model.buffers()])
        consumers = [loaded.adapter.consumer(site) for site in loaded.adapter.sites()]
    waiting = sum(consumer.weight.numel() + consumer.out_features for consumer in consumers)
    gain = loaded.model.config.hidden_size
    assert variants.bytes == model + 4 * (waiting + gain)


def test_a_run_without_questions_keeps_no_variants(dense: LoadedModel, tmp_path: Path) -> None:
    assert finished(spec(tmp_path), dense, prompts=[]).variants is None


def test_a_caller_that_keeps_only_the_result_holds_no_models(
    dense: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Variants]] = []

    def remembered(*models: LoadedModel) -> Variants:
        variants = Variants(*models)
        made.append(weakref.ref(variants))
        return variants

    monkeypatch.setattr(pipeline, "Variants", remembered)
    result = run(spec(tmp_path), dense, prompts=["a b c"])
    gc.collect()
    assert result.generations
    assert [reference() for reference in made] == [None]
