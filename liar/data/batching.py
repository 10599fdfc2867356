"""Padded batches of texts of like length, for models that read one text at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, sequence_length: int) -> list[list[int]]:
    """Token ids of each text with its special tokens, cut at ``sequence_length``."""
    encoded: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=sequence_length)["input_ids"]
    return encoded


def by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Positions of rows in batches of like length, the shortest first; equal lengths keep their order."""
    order = sorted(range(len(rows)), key=lambda position: len(rows[position]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def pad(rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask``, both (rows, longest) int64, padded on the tokenizer's side."""
    longest = max(len(row) for row in rows)
    identifiers = torch.full((len(rows), longest), int(tokenizer.pad_token_id or 0), dtype=torch.long)
    mask = torch.zeros_like(identifiers)
    for index, row in enumerate(rows):
        filled = slice(longest - len(row), None) if tokenizer.padding_side == "left" else slice(len(row))
        identifiers[index, filled] = torch.tensor(row)
        mask[index, filled] = 1
    return {"input_ids": identifiers, "attention_mask": mask}
