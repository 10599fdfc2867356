"""A tiny random LLaMA of 96 or more positions, and byte-level BPE for it, as in LLaMA 3."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from liar.models.families import adapt
from liar.models.loaded import LoadedModel

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "ran", "off", "to", "see", "what", "else", "was")
POSITIONS = 96
WIDTH = 32


def subwords(*, begin: bool, of: str = " ".join(WORDS)) -> PreTrainedTokenizerFast:
    """Words of a text with their leading space; with ``begin``, a token before each text."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<end>", "<begin>"], initial_alphabet=alphabet, show_progress=False
    )
    words.train_from_iterator([of] * 20, trainer)
    if begin:
        words.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 1)])
    names = {"eos_token": "<end>"} | ({"bos_token": "<begin>"} if begin else {})
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


def network(dtype: torch.dtype = torch.float32, positions: int = POSITIONS) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False).to(dtype)


def loaded(positions: int = POSITIONS, *, begin: bool = True) -> LoadedModel:
    model = network(positions=positions)
    return LoadedModel("tiny/subwords", model, subwords(begin=begin), adapt(model), "perplexity")
