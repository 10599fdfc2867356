"""Texts to token windows without padding, for language models."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from liar.errors import InvalidSpecError


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, sequence_length: int, count: int) -> Tensor:
    """Join texts with the end-of-text token between them and cut windows: (at most count, sequence_length) int64.

    Windows follow each other without overlap; what is left of the last text is dropped. Reads no more than it needs.
    """
    separator = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    tokens: list[int] = []
    for text in texts:
        tokens += separator if tokens else []
        tokens += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(tokens) >= count * sequence_length:
            break
    windows = min(count, len(tokens) // sequence_length)
    return torch.tensor(tokens[: windows * sequence_length], dtype=torch.long).view(windows, sequence_length)


def longest_sequence(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens the model has positions for."""
    # RoBERTa counts positions from behind its padding id.
    unused = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    return int(min(config.max_position_embeddings - unused, tokenizer.model_max_length))


def check_length(sequence_length: int, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise :class:`InvalidSpecError` when the model has no positions for so long a sequence."""
    limit = longest_sequence(config, tokenizer)
    if sequence_length > limit:
        raise InvalidSpecError(
            f"A sequence length of {sequence_length} is above the {limit} positions of this model; choose at most "
            f"{limit}."
        )
