"""A stock LLaMA checkpoint written as a GGUF without a tokenizer, by the names and layout that llama.cpp reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import load_file


def write_gguf(folder: Path, target: Path) -> None:
    """Write the checkpoint in ``folder`` to the GGUF file ``target``, all weights in fp32."""
    config = _config(folder)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    for name, tensor in tensors(folder).items():
        writer.add_tensor(name, tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of ``folder`` by their GGUF names; KeyError for one that llama.cpp has no name for."""
    config = _config(folder)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    found: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        called = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if called is None:
            raise KeyError(name)
        if ".q_proj." in name or ".k_proj." in name:
            found[called] = _neighbours(tensor, config.head_dim)
        else:
            found[called] = tensor
    return found


def expected_sizes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes that llama.cpp's ``llama`` architecture expects by GGUF name: all weights with biases, embeddings excepted."""
    config = _config(folder)
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    linears = {
        "attn_q": (queries, hidden),
        "attn_k": (keys, hidden),
        "attn_v": (keys, hidden),
        "attn_output": (hidden, queries),
        "ffn_gate": (ffn, hidden),
        "ffn_up": (ffn, hidden),
        "ffn_down": (hidden, ffn),
    }
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(config.num_hidden_layers):
        for name, size in linears.items():
            found |= {f"blk.{layer}.{name}.weight": size, f"blk.{layer}.{name}.bias": size[:1]}
        found |= {f"blk.{layer}.{name}.weight": (hidden,) for name in ("attn_norm", "ffn_norm")}
    return found


def _neighbours(tensor: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Reorder rotary pairs: transformers rotates channel i with i + head_dim/2, llama.cpp 2i with 2i + 1."""
    rest = tensor.shape[1:]
    return tensor.view(-1, 2, head_dim // 2, *rest).transpose(1, 2).reshape(tensor.shape)


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
