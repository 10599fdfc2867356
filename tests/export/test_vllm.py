"""vLLM's DeciLMForCausalLM: its config names the sizes of every layer, and the folder answers as torch does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from liar import LoadedModel
from liar.errors import InvalidSpecError, LiarError, UnsupportedModelError
from liar.export import parity
from liar.export.exporting import exported
from liar.export.llama import vllm
from liar.progress import finish
from liar.report.exported import Export, Weights
from tests import small_heads, subwords
from tests.cut_models import cut
from tests.export.test_gguf import model


def write(loaded: LoadedModel, out: Path, weights: Weights = "fp32") -> Export:
    return finish(exported(loaded, "vllm", out, weights))


def only_neurons() -> LoadedModel:
    return cut(subwords.loaded(), "ffn", lambda layer: 13 + 8 * layer)


@pytest.mark.parametrize("type", ["llama", "mistral", "qwen2"])
def test_a_ragged_model_answers_as_torch_does(type: str, tmp_path: Path) -> None:
    record = write(model(ragged=True, type=type), tmp_path / "out")
    assert record.architecture == "DeciLMForCausalLM"
    assert record.checks[0].value < 1e-4
    assert record.notes[0].startswith("The attentions of 1 layers are filled up")
    AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=False)


def test_the_config_has_the_attributes_that_vllm_reads(tmp_path: Path) -> None:
    """By the source of vLLM 0.32, vllm/model_executor/models/nemotron_nas.py."""
    write(only_neurons(), tmp_path / "out")
    config: Any = AutoConfig.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert config.model_type == "nemotron-nas"
    assert config.architectures == ["DeciLMForCausalLM"]
    assert config.attention_bias
    assert config.mlp_bias
    assert [block.ffn.intermediate_size for block in config.block_configs] == [13, 21]
    for block in config.block_configs:
        assert not block.attention.no_op
        assert not block.ffn.no_op
        assert config.num_attention_heads // block.attention.n_heads_in_group == config.num_key_value_heads
        assert not hasattr(block.ffn, "ffn_mult")
        assert not hasattr(block.ffn, "hidden_act")
    assert json.loads(config.to_json_string())["block_configs"][0]["ffn"]["intermediate_size"] == 13


def test_every_linear_layer_of_a_block_has_a_bias_and_heads_are_filled_with_zeros(tmp_path: Path) -> None:
    write(model(ragged=True), tmp_path / "out")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    for layer in range(2):
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"):
            assert f"model.layers.{layer}.{name}.bias" in weights
    output = weights["model.layers.0.self_attn.o_proj.weight"]
    assert output.shape == (32, 32)
    assert output[:, :16].any()
    assert not output[:, 16:].any()
    assert not weights["model.layers.0.self_attn.k_proj.weight"][8:].any()


def test_half_precision_takes_half_of_the_bytes(tmp_path: Path) -> None:
    whole, half = write(only_neurons(), tmp_path / "whole"), write(only_neurons(), tmp_path / "half", "fp16")
    assert half.bytes == pytest.approx(whole.bytes / 2, rel=0.1)
    assert half.checks[0].name == parity.PERPLEXITY
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    assert load_file(tmp_path / "half" / "model.safetensors")["model.norm.weight"].dtype == torch.float16


def test_a_folder_that_answers_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = vllm.as_read

    def damaged(folder: Path) -> Any:
        found = read(folder)
        found.model.layers[0].mlp.down_proj.bias.data += 1
        return found

    monkeypatch.setattr(vllm, "as_read", damaged)
    with pytest.raises(LiarError, match="answers otherwise than torch"):
        write(only_neurons(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: model(ragged=False), InvalidSpecError, "needs no export .*vllm serve"),
        (lambda: model(ragged=False, type="qwen2"), InvalidSpecError, "needs no export"),
        (lambda: model(ragged=True, type="qwen3"), UnsupportedModelError, "of type 'qwen3'"),
        (lambda: small_heads.classifier(("a", "b")), UnsupportedModelError, "takes language models"),
    ],
)
def test_what_it_does_not_need_or_cannot_hold_is_refused(
    build: Any, error: type[LiarError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        write(build(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_eight_bits_are_those_of_vllm(tmp_path: Path) -> None:
    from liar.export.exporting import check_request

    with pytest.raises(InvalidSpecError, match="--quantization"):
        check_request("vllm", "int8", tmp_path / "out")
