"""The divergence of a run of blocks without removing it equals that of the model that has lost it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from liar.calibration import divergence
from liar.calibration.block_statistics import spans
from liar.calibration.divergence import Cut, changed, divergence_steps
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.models.surgery import ConsumerParameters, install
from liar.progress import finish
from liar.runtime.devices import Batch
from tests.families import DECODERS, batches, build


def patched(adapter: Adapter, text: list[Batch], length: int) -> list[Cut]:
    """The patched runs of so many blocks."""
    found = []
    for span in spans(adapter, text, [length]):
        weight = adapter.consumer(span.start.site).weight.detach().T
        found.append(Cut(span.removed, changed(span.patches(weight, ["least-squares"])["least-squares"], weight)))
    return found


def without(adapter: Adapter, cut: Cut) -> Adapter:
    """A copy that has lost the blocks of ``cut`` and has its patch."""
    shorter = adapt(copy.deepcopy(adapter.model))
    consumer = shorter.consumer(shorter.site(cut.removed.start - 1, "ffn"))
    weight = consumer.weight.detach().T + cut.change.weight
    install(consumer, ConsumerParameters.install_of(consumer, replace(cut.change, weight=weight)))
    shorter.remove_blocks(cut.removed)
    return shorter


def log_probabilities(adapter: Adapter, text: list[Batch]) -> torch.Tensor:
    """Of every real token."""
    found = []
    for batch in text:
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True):
            with torch.no_grad():
                found.append(adapter.model(ids[mask].unsqueeze(0)).logits[0].log_softmax(dim=-1))
    return torch.cat(found)


@pytest.mark.parametrize("name", [name for name in DECODERS if adapt(build(name)).loses_blocks])
def test_it_is_that_of_the_model_without_the_blocks(name: str) -> None:
    adapter, text = adapt(build(name)), batches(2, 3, 12, padded=True)
    cuts = patched(adapter, text, 1)
    found = finish(divergence_steps(adapter, text, cuts))
    whole = log_probabilities(adapter, text)
    for cut, nats in zip(cuts, found, strict=True):
        less = log_probabilities(without(adapter, cut), text)
        assert nats == pytest.approx(float((whole.exp() * (whole - less)).sum(dim=-1).mean()), rel=1e-6)


def test_a_model_without_probabilities_has_the_error_of_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, text = adapt(build("llama")), batches(1, 2, 8)
    cuts = patched(adapter, text, 1)
    monkeypatch.setattr(divergence, "_predicted", lambda *_: None)
    assert all(0 < error < 10 for error in finish(divergence_steps(adapter, text, cuts)))


def test_steps_are_counted_and_nothing_of_the_model_changes() -> None:
    adapter, text = adapt(build("llama")), batches(1, 2, 8)
    before = {name: tensor.clone() for name, tensor in adapter.model.state_dict().items()}
    steps = list(divergence_steps(adapter, text, patched(adapter, text, 1)))
    assert steps == [(done, 5) for done in range(1, 6)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter.model.state_dict().items())
