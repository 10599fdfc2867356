"""Tiny random models of every family, batches for them, and their logits and gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
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


BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**DECODER, tie_word_embeddings=False)),
    "llama-tied": lambda: LlamaForCausalLM(LlamaConfig(**DECODER, tie_word_embeddings=True)),
    "llama-biased": lambda: LlamaForCausalLM(LlamaConfig(**DECODER, mlp_bias=True, attention_bias=True)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**DECODER, sliding_window=6)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**DECODER, use_sliding_window=True, sliding_window=6, max_window_layers=1)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**DECODER)),
    "bert": lambda: BertForSequenceClassification(BertConfig(**ENCODER)),
    "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**ENCODER, pad_token_id=0)),
}
DECODERS = [name for name in BUILDERS if "bert" not in name]


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
