"""GGUF files: names, sizes and tokens that llama.cpp reads, always; what it answers where llama-cpp-python is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from liar import LoadedModel
from liar.errors import LiarError, UnsupportedModelError
from liar.export.llama import gguf_check
from liar.export.llama.gguf_file import write_gguf
from liar.export.llama.gguf_vocabulary import vocabulary_of
from liar.models.families import adapt
from tests import subwords, tiny
from tests.cut_models import cut

NO_ENGINE = "llama-cpp-python is not installed (pip install llama-cpp-python compiles llama.cpp, some minutes)"


def model(*, ragged: bool, repaired: bool = True, type: str = "llama") -> LoadedModel:
    """A LLaMA, or one of the types that compute as it does, with heads and neurons gone."""
    loaded = subwords.loaded()
    if type != "llama":
        loaded = typed(type)
    loaded.model.lm_head.weight.data.mul_(0.05)  # a random model's loss would depend on every rounding
    cut(loaded, "ffn", lambda layer: 13 + 8 * layer if ragged else 20, repaired=repaired)
    cut(loaded, "attention", lambda layer: 1 + layer % 2 if ragged else 1, repaired=repaired)
    return loaded


def typed(type: str) -> LoadedModel:
    """A random model of another type for the same tokenizer."""
    build = {"mistral": MistralForCausalLM, "qwen2": Qwen2ForCausalLM, "qwen3": Qwen3ForCausalLM}[type]
    fields = subwords.network().config.to_dict()
    torch.manual_seed(0)
    network = build(build.config_class.from_dict(fields | {"sliding_window": None, "model_type": type})).eval()
    return LoadedModel(f"tiny/{type}", network, subwords.subwords(begin=False), adapt(network), None)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields and tensors by their names."""
    reader = gguf.GGUFReader(path)
    return (
        {name: field.contents() for name, field in reader.fields.items()},
        {each.name: each for each in reader.tensors},
    )


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize("ragged", [False, True], ids=["stock", "ragged"])
def test_every_weight_has_a_name_and_the_size_that_llama_cpp_expects(
    ragged: bool, repaired: bool, tmp_path: Path
) -> None:
    loaded = model(ragged=ragged, repaired=repaired)
    write_gguf(loaded, tmp_path / "model.gguf", "fp32", "small")
    fields, tensors = read(tmp_path / "model.gguf")
    name = "deci" if ragged else "llama"
    heads, neurons = ([2, 4], [13, 21]) if ragged else (2, 20)
    assert fields["general.architecture"] == name
    assert fields[f"{name}.attention.head_count"] == heads
    assert fields[f"{name}.attention.head_count_kv"] == ([1, 2] if ragged else 1)
    assert fields[f"{name}.feed_forward_length"] == neurons
    for layer in range(2):
        queries = 8 * (heads[layer] if isinstance(heads, list) else heads)
        width = neurons[layer] if isinstance(neurons, list) else neurons
        sizes = {
            "attn_norm": (32,),
            "attn_q": (32, queries),
            "attn_k": (32, queries // 2),
            "attn_v": (32, queries // 2),
            "attn_output": (queries, 32),
            "ffn_norm": (32,),
            "ffn_gate": (32, width),
            "ffn_up": (32, width),
            "ffn_down": (width, 32),
        }
        for part, size in sizes.items():
            assert tuple(tensors[f"blk.{layer}.{part}.weight"].shape) == size
        for part in ("ffn_down", "attn_output"):
            assert (f"blk.{layer}.{part}.bias" in tensors) == repaired


def test_tokens_merges_and_special_tokens_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    loaded = model(ragged=True)
    loaded.tokenizer.chat_template = "{{ messages }}"
    write_gguf(loaded, tmp_path / "model.gguf", "fp32", "small")
    fields, _ = read(tmp_path / "model.gguf")
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    known = loaded.tokenizer.get_vocab()
    assert len(tokens) == 384
    assert {token: number for number, token in enumerate(tokens) if token in known} == known
    assert all(kind == gguf.TokenType.UNUSED for kind in types[len(known) :])
    assert [types[number] for number in (0, 1)] == [gguf.TokenType.CONTROL] * 2
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.ggml.bos_token_id"] == 1
    assert fields["tokenizer.ggml.add_bos_token"] is True
    assert fields["tokenizer.chat_template"] == "{{ messages }}"


def test_rounded_rows_are_whole_blocks_and_others_are_halved(tmp_path: Path) -> None:
    loaded = model(ragged=True)
    left = write_gguf(loaded, tmp_path / "model.gguf", "int8", "small")
    _, tensors = read(tmp_path / "model.gguf")
    assert left == [
        name
        for name in tensors
        if name.endswith(("ffn_down.weight", "attn_output.weight")) and tensors[name].shape[0] % 32
    ]
    assert tensors["blk.0.ffn_down.weight"].tensor_type == gguf.GGMLQuantizationType.F16
    assert tensors["blk.0.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType.Q8_0
    assert tensors["blk.0.ffn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    back = gguf.quants.dequantize(tensors["blk.0.ffn_up.weight"].data, gguf.GGMLQuantizationType.Q8_0)
    plain = loaded.model.get_submodule("model.layers.0.mlp.up_proj").weight
    assert np.abs(back - plain.numpy()).max() <= float(plain.abs().max()) / 254 + 1e-4


def test_an_even_file_without_repair_is_read_back_by_transformers(tmp_path: Path) -> None:
    """transformers builds a GGUF without biases, in silence."""
    loaded = model(ragged=False, repaired=False)
    write_gguf(loaded, tmp_path / "model.gguf", "fp32", "small")
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32).eval()
    ids = torch.arange(3, 19).unsqueeze(0)
    with torch.no_grad():
        assert torch.allclose(again(ids).logits, loaded.model(ids).logits, atol=1e-5)


def test_the_positions_of_llama_3_are_scaled_as_transformers_scales_them(tmp_path: Path) -> None:
    scaled = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    loaded = subwords.loaded()
    sizes = {
        **loaded.model.config.to_dict(),
        "rope_parameters": {"rope_theta": 1e4, "original_max_position_embeddings": 32, **scaled},
    }
    network = LlamaForCausalLM(LlamaConfig.from_dict(sizes)).eval()
    loaded = LoadedModel("tiny/llama3", network, loaded.tokenizer, adapt(network), None)
    write_gguf(loaded, tmp_path / "model.gguf", "fp32", "small")
    _, tensors = read(tmp_path / "model.gguf")
    factors = torch.tensor(tensors["rope_freqs.weight"].data)
    plain = 1 / 1e4 ** (torch.arange(0, 8, 2) / 8)
    found = network.model.rotary_emb.inv_freq
    assert factors.max() == pytest.approx(8)
    assert torch.allclose(plain / factors, found)


def sentencepiece() -> PreTrainedTokenizerFast:
    """BPE over characters that falls back to bytes, with the marks of a LLaMA 2."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = ["▁", "a", "b", "c", "ab", "▁ab", "abc", "▁abc"]
    merges = [("a", "b"), ("▁", "ab"), ("ab", "c"), ("▁ab", "c"), ("▁", "abc")]
    vocabulary = {token: number for number, token in enumerate([*special, *pieces])}
    words = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_a_tokenizer_with_bytes_has_scores_instead_of_merges() -> None:
    found = vocabulary_of(sentencepiece(), 300)
    assert found.kind == "llama"
    assert found.types[0] == gguf.TokenType.UNKNOWN
    assert found.types[3:259] == [gguf.TokenType.BYTE] * 256
    assert found.scores == sorted(found.scores, reverse=True)


@pytest.mark.parametrize("type", ["mistral", "qwen2"])
def test_models_that_compute_as_a_llama_are_written_as_one(type: str, tmp_path: Path) -> None:
    write_gguf(model(ragged=True, type=type), tmp_path / "model.gguf", "fp32", "small")
    fields, tensors = read(tmp_path / "model.gguf")
    assert fields["general.architecture"] == "deci"
    assert ("blk.0.attn_q.bias" in tensors) == (type == "qwen2")


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        (tiny.classifier, "takes language models"),
        (lambda: typed("qwen3"), "of type 'qwen3'"),
        (tiny.language_model, "WordLevel, not BPE"),
    ],
)
def test_what_llama_cpp_could_not_run_is_refused(loaded: Callable[[], LoadedModel], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        write_gguf(loaded(), tmp_path / "model.gguf", "fp32", "small")


@pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kind", ["stock", "ragged", "mistral", "qwen2", "sentencepiece"])
def test_llama_cpp_answers_as_torch_does(
    kind: str, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason=NO_ENGINE)
    # Where a row of the attention's output has 32 weights in q8_0, llama-cpp-python 0.3.36 answers with NaN.
    monkeypatch.setattr(subwords, "WIDTH", 128)
    loaded = model(ragged=kind != "stock", type=kind if kind in ("mistral", "qwen2") else "llama")
    if kind == "sentencepiece":
        loaded.tokenizer = sentencepiece()
    write_gguf(loaded, tmp_path / "model.gguf", weights, "small")
    checks = gguf_check.checks(loaded, tmp_path / "model.gguf", weights, 1)
    assert checks is not None
    assert all(check.holds for check in checks)
    assert checks[-1].value == pytest.approx(1, abs=0.1)


def test_numbers_that_are_not_finite_are_no_result(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason=NO_ENGINE)
    loaded = model(ragged=False)
    loaded.model.model.norm.weight.data[0] = torch.nan
    write_gguf(loaded, tmp_path / "model.gguf", "fp16", "small")
    with pytest.raises(LiarError, match="not finite"):
        gguf_check.checks(loaded, tmp_path / "model.gguf", "fp16", 1)
