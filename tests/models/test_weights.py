"""Checkpoints whose weights, config or code are refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from liar.errors import LiarError, ModelNotFoundError, UnsupportedModelError
from liar.loading.catalog import load_model
from tests import tiny
from tests.folders import BERT, LLAMA, change, save


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"model_type": "no-such-type"},
            r"'no-such-type' .* unknown to the installed transformers.* update transformers",
        ),
        ({"model_type": "t5", "is_encoder_decoder": True}, r"'t5' .* an encoder-decoder; take a model that only"),
        ({"model_type": "mixtral", "num_local_experts": 8}, r"'mixtral' .* a mixture of experts.* take a dense model"),
        ({"model_type": "qwen3_moe", "num_experts": 128}, r"'qwen3_moe' .* a mixture of experts.* take a dense model"),
        ({"model_type": "vit", "image_size": 224}, r"'vit' .* a model of images or sound; take a model of text"),
        ({"model_type": "gemma3", "vision_config": {}, "text_config": {}}, r"'gemma3' .* save its text model alone"),
        ({"model_type": "bert"}, r"has a config and no weights; add its safetensors"),
        (
            {"model_type": "gpt_neox", "num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2},
            r"has not the modules",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["model_type"]),
)
def test_another_kind_of_model_is_refused_in_one_sentence_with_a_way_out(
    config: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    tiny.tokenizer(64).save_pretrained(tmp_path)
    with pytest.raises(LiarError, match=sentence) as found:
        load_model(str(tmp_path), device="cpu")
    assert len(str(found.value).splitlines()) == 1


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    name = save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsupportedModelError, match="safetensors"):
        load_model(name, device="cpu")
    way_out = tmp_path / "new"
    AutoModelForCausalLM.from_pretrained(name).save_pretrained(way_out)
    AutoTokenizer.from_pretrained(name).save_pretrained(way_out)
    loaded = load_model(str(way_out), device="cpu").model.state_dict()
    assert all(torch.equal(loaded[key], weight) for key, weight in model.state_dict().items())


@pytest.mark.parametrize("pickled", [True, False])
def test_an_adapter_beside_the_weights_is_refused(
    tmp_path: Path, pickled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the Hub, transformers would read a pickled one in spite of ``use_safetensors``."""
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    lora = LoraConfig(r=1, target_modules=["q_proj"])
    get_peft_model(LlamaForCausalLM(LlamaConfig(**LLAMA)), lora).save_pretrained(tmp_path)
    if pickled:
        (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read a pickle"))
    with pytest.raises(UnsupportedModelError, match="merge_and_unload"):
        load_model(name, device="cpu")


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path / "model")
    code = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
    change(tmp_path / "model" / "config.json", auto_map=code)
    (tmp_path / "model" / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with suppress(LiarError):
        load_model(name, device="cpu")
    assert not (tmp_path / "ran").exists()


def test_damaged_weights(tmp_path: Path) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelNotFoundError, match="damaged"):
        load_model(name, device="cpu")


def test_weights_that_are_missing_are_not_invented(tmp_path: Path) -> None:
    name = save(BertModel(BertConfig(**BERT)), tmp_path)
    change(tmp_path / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(UnsupportedModelError, match="classifier"):
        load_model(name, device="cpu")


def test_weights_that_do_not_fit_their_config(tmp_path: Path) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    change(tmp_path / "config.json", intermediate_size=20)
    with pytest.raises(UnsupportedModelError, match="belong together"):
        load_model(name, device="cpu")
