"""Small random models of every listed type, from the real config classes, with a tokenizer of one-letter words and a text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from liar.presets import ARCHITECTURES

VOCABULARY = 97

LETTERS = "abcdefghijklmnopqrstuvwxyz"

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


def typed(model_type: str, **sizes: Any) -> PreTrainedModel:
    """A random model of a listed type: an encoder with a classifier, a decoder with its head."""
    encodes = next(each.encodes for each in ARCHITECTURES if each.model_type == model_type)
    common = ENCODER if encodes else DECODER
    config = AutoConfig.for_model(model_type, **{**common, **OWN_SIZES.get(model_type, {}), **sizes})
    auto = AutoModelForSequenceClassification if encodes else AutoModelForCausalLM
    model: PreTrainedModel = auto.from_config(config)
    return model


def randomize(model: PreTrainedModel) -> PreTrainedModel:
    """Large random weights and nonzero biases, so that code that forgets one of them fails."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter.normal_(std=0.3)
            elif parameter.ndim == 2:
                parameter.normal_(std=0.25)
    model.eval()
    return model


def write(model_type: str, folder: Path, **sizes: Any) -> None:
    """Save a small random model of a type with a tokenizer in ``folder``, and a text in ``text.txt``."""
    torch.manual_seed(0)
    randomize(typed(model_type, **sizes)).save_pretrained(folder)
    words = {word: index for index, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *LETTERS])}
    model = Tokenizer(WordLevel(words, unk_token="<unk>"))
    model.pre_tokenizer = Whitespace()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=model, model_max_length=48, **special).save_pretrained(folder)
    draw = random.Random(0)
    lines = [" ".join(draw.choices(LETTERS, k=30)) for _ in range(60)]
    (folder / "text.txt").write_text("\n\n".join(lines), encoding="utf-8")
