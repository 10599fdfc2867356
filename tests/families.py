"""Tiny random models of every family, batches for them, and their logits and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from benchmarks.small_models import DECODER, VOCABULARY, randomize, typed
from liar.calibration.gradients import Steps
from liar.maths.criteria import SiteGradients
from liar.presets import ARCHITECTURES
from liar.progress import finish
from liar.runtime.devices import Batch

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


BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {
    **{each.model_type: partial(typed, each.model_type) for each in ARCHITECTURES},
    **VARIANTS,
}
FIRST = {each.family: each for each in reversed(ARCHITECTURES)}
CORE = [name for name in BUILDERS if name in {each.model_type for each in FIRST.values()} or name in VARIANTS] + [
    *("roberta", "mistral", "qwen2", "qwen3", "stablelm", "gemma", "seed_oss")
]
"""One type of each family, and those that differ from it where surgery or saving could fail; the others run the same code."""
DECODERS = [
    name
    for name in CORE
    if not any(name.startswith(each.model_type) for each in ARCHITECTURES if each.encodes) or name == "ernie4_5"
]


def build(name: str) -> PreTrainedModel:
    """A random model in fp64 with nonzero biases, so that code that forgets a bias fails."""
    torch.manual_seed(0)
    return randomize(BUILDERS[name]().double())


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
