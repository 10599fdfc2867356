"""Granite: its residual multiplier, folded into the weights of the consumers, makes it a LLaMA."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from benchmarks.small_models import DECODER, randomize, write
from liar import PruneSpec
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.spec import Targets
from tests import tiny


@pytest.mark.parametrize("targets", ["both", "layers"])
def test_a_granite_is_repaired_as_the_llama_that_computes_the_same(targets: Targets, tmp_path: Path) -> None:
    write("llama", tmp_path)
    scale = DECODER["head_dim"] ** -0.5
    config = GraniteConfig(**DECODER, residual_multiplier=0.22, attention_multiplier=scale, embedding_multiplier=1.0)
    torch.manual_seed(0)
    granite = randomize(GraniteForCausalLM(config).double())
    llama = LlamaForCausalLM(LlamaConfig(**DECODER)).double().eval()
    weights = granite.state_dict()
    for name, weight in weights.items():
        if "o_proj" in name or "down_proj" in name:
            weights[name] = 0.22 * weight
    llama.load_state_dict(weights)
    ids = torch.arange(4, 28).reshape(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(granite(ids).logits, llama(ids).logits)

    text = {"calibration": str(tmp_path / "text.txt"), "tokens": 1024, "sequence_length": 32}
    chosen = PruneSpec(model="tiny", device="cpu", targets=targets, ratio=0.34, **text)
    both = [
        tiny.finished(chosen, LoadedModel("tiny", model, tiny.tokenizer(64), adapt(model), None))
        for model in (granite, llama)
    ]
    (first, pruned), (second, other) = both
    assert [site.kept_units for site in first.result.sites] == [site.kept_units for site in second.result.sites]
    for ours, theirs in zip(first.result.sites, second.result.sites, strict=True):
        assert ours.error == pytest.approx(theirs.error, rel=1e-6)
        assert ours.norm_aware_error == pytest.approx(theirs.norm_aware_error, rel=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(ids).logits, other.model(ids).logits, rtol=1e-5, atol=1e-5)
