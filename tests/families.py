"""Tiny random models of every family, batches for them, and their logits and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from liar.models.architectures import ARCHITECTURES
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from liar.calibration.gradients import Steps
from liar.maths.criteria import SiteGradients
from liar.progress import finish
from liar.runtime.devices import Batch

VOCABULARY = 97

DECODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 60,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": 3,
}


OWN_SIZES: dict[str, dict[str, Any]] = {
    "roberta": {"pad_token_id": 0},
    "xlm-roberta": {"pad_token_id": 0},
    "camembert": {"pad_token_id": 0},
    "data2vec-text": {"pad_token_id": 0},
    "electra": {"embedding_size": 16},
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4},
    "mpnet": {"pad_token_id": 1},
    "modernbert": {"pad_token_id": 0, "local_attention": 8, "bos_token_id": 1, "eos_token_id": 2},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "mistral": {"sliding_window": 6},
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "smollm3": {"no_rope_layer_interval": 2},
    "ministral": {"sliding_window": 6},
    # A window that reaches the text from all padding: in fp64 its softmax, in fp32, has no number for a row without any.
    "gemma2": {"sliding_window": 12, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 6, "query_pre_attn_scalar": 8, "sliding_window_pattern": 2},
    "granite": {"residual_multiplier": 0.22, "attention_multiplier": 0.3, "embedding_multiplier": 2.0},
    "qwen3_5_text": {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    },
    "gpt2": {"n_inner": 60},
    "opt": {"ffn_dim": 60, "word_embed_proj_dim": 48},
}
"""What the config of a type has beside the common sizes."""

VARIANTS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama-tied": lambda: LlamaForCausalLM(LlamaConfig(**DECODER, tie_word_embeddings=True)),
    "llama-biased": lambda: LlamaForCausalLM(LlamaConfig(**DECODER, mlp_bias=True, attention_bias=True)),
    "mistral-no-window": lambda: MistralForCausalLM(MistralConfig(**DECODER, sliding_window=None)),
    "qwen2-no-window": lambda: Qwen2ForCausalLM(Qwen2Config(**DECODER)),
    "deberta-v2-own-positions": lambda: typed("deberta-v2", share_att_key=False),
    "opt-post-norm": lambda: typed("opt", do_layer_norm_before=False),
    "modernbert-biased": lambda: typed("modernbert", attention_bias=True, mlp_bias=True, norm_bias=True),
}
"""Models whose config takes another way through the code of their type."""


def typed(model_type: str, **sizes: Any) -> PreTrainedModel:
    """A random model of a listed type: an encoder with a classifier, a decoder with its head."""
    encodes = next(each.encodes for each in ARCHITECTURES if each.model_type == model_type)
    common = ENCODER if encodes else DECODER
    config = AutoConfig.for_model(model_type, **{**common, **OWN_SIZES.get(model_type, {}), **sizes})
    auto = AutoModelForSequenceClassification if encodes else AutoModelForCausalLM
    return auto.from_config(config)


BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {
    **{each.model_type: partial(typed, each.model_type) for each in ARCHITECTURES},
    **VARIANTS,
}
DECODERS = [
    name
    for name in BUILDERS
    if not any(name.startswith(each.model_type) for each in ARCHITECTURES if each.encodes) or name == "ernie4_5"
]


def build(name: str) -> PreTrainedModel:
    """A random model in fp64 with nonzero biases, so that code that forgets a bias fails."""
    torch.manual_seed(0)
    model = BUILDERS[name]().double().eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter.normal_(std=0.3)
            elif parameter.ndim == 2:
                parameter.normal_(std=0.25)
    return model


def batches(count: int = 4, size: int = 8, length: int = 20, *, padded: bool = False, seed: int = 1) -> list[Batch]:
    """Random tokens; with ``padded`` the second half of every second sequence is padding."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Batch] = []
    for _ in range(count):
        ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)
        mask = torch.ones_like(ids)
        if padded:
            mask[::2, length // 2 :] = 0
            ids = ids * mask
        found.append({"input_ids": ids, "attention_mask": mask})
    return found


def logits(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**batch).logits


def gradients(steps: Steps) -> dict[str, SiteGradients]:
    def check(step: tuple[int, int]) -> None:
        done, total = step
        assert 0 < done <= total

    return finish(steps, check)
