"""A model that is a LLaMA but for its name, as one: the config of a LLaMA has switches for the biases of a repair.

The config of a Mistral or a Qwen2 has none, so that a repaired one would be saved ragged. Its blocks are a LLaMA's if no
sliding window is shorter than the text it reads; Qwen2 has biases at its queries, keys and values, beside which the output gets
zeros.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import transformers
from accelerate import init_empty_weights
from torch import nn
from transformers import LlamaConfig, PreTrainedModel

from liar.models.quantize import is_quantized
from liar.models.skeleton import model_class, sizes_of
from liar.runtime.offload import is_offloaded

TYPES = ("mistral", "ministral", "qwen2")


def as_llama(model: PreTrainedModel) -> PreTrainedModel | None:
    """``model`` as a LLaMA that shares its weights.

    None if it is none, if its layers differ in width, or if it is streamed or quantized.
    """
    own: Any = model_class(model)
    if own.config_class.model_type not in TYPES or has_window(model.config):
        return None
    if is_offloaded(model) or is_quantized(model):
        return None
    head = own.__name__.removeprefix(own.config_class.__name__.removesuffix("Config"))
    if (llama_class := getattr(transformers, f"Llama{head}", None)) is None:
        return None
    names = {name for name, _ in cast(nn.Module, model).named_parameters()}
    fields = {name: value for name, value in model.config.to_dict().items() if name in LlamaConfig().to_dict()}
    fields |= {
        "model_type": "llama",
        "attention_bias": any(".self_attn." in name and name.endswith(".bias") for name in names),
        "mlp_bias": any(".mlp." in name and name.endswith(".bias") for name in names),
    }
    config = LlamaConfig.from_dict(fields)
    with init_empty_weights():
        llama: Any = llama_class(config)
    weights = dict(cast(nn.Module, model).state_dict())
    for name, empty in llama.state_dict().items():
        if name not in weights and name.endswith(".bias"):
            weights[name] = torch.zeros(empty.shape, dtype=model.dtype, device=model.device)
    wanted = {name: tensor.shape for name, tensor in llama.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in weights.items()}:
        return None
    llama.load_state_dict(weights, assign=True)
    llama.tie_weights()
    llama.generation_config = getattr(model, "generation_config", None)
    made = cast(PreTrainedModel, llama.eval())
    return None if sizes_of(made).any else made


def has_window(config: Any) -> bool:
    """Whether an attention reads less than all positions."""
    kinds, window = getattr(config, "layer_types", None), getattr(config, "sliding_window", None)
    if window is None or (kinds is not None and "sliding_attention" not in kinds):
        return False
    return bool(window < config.max_position_embeddings)
