"""Padded batches of texts of similar length, for models that read one text, or one pair of texts, at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from liar.tasks.samples import Sample

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of one text or one pair, with special tokens; ``cut`` if the text was truncated.

    ``types``: for each token 0 or 1, its text of the pair; None for single texts and for models without token types.
    """

    ids: list[int]
    types: list[int] | None = None
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def encode(
    samples: Sequence[Sample],
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    config: PreTrainedConfig | None = None,
) -> list[Row]:
    """One row for each sample, cut at ``sequence_length`` tokens: its text, or both texts if any of the samples is a pair.

    The longer text of a pair is cut first. Rows of pairs have types if the model's ``config`` has more than one.
    """
    texts = [sample.text for sample in samples]
    pairs = [sample.pair or "" for sample in samples] if any(sample.pair is not None for sample in samples) else None
    encoded = tokenizer(texts, pairs, truncation=True, max_length=sequence_length)
    types = encoded.get("token_type_ids") if pairs is not None and getattr(config, "type_vocab_size", 1) > 1 else None
    rows: list[Row] = []
    for index, ids in enumerate(encoded["input_ids"]):
        pair = None if pairs is None else pairs[index]
        whole = tokenizer(texts[index], pair, verbose=False)["input_ids"] if len(ids) >= sequence_length else ids
        rows.append(Row(ids, None if types is None else types[index], len(whole) > sequence_length))
    return rows


def by_length(rows: Sequence[Sized], most: float = math.inf, *, tokens: float = math.inf) -> Iterator[list[int]]:
    """Positions in ``rows``, batch by batch, sorted by length, shortest first; equal lengths keep their order.

    A batch has at most ``most`` rows and, with padding, at most ``tokens``; a longer row is a batch of its own.
    """
    batch: list[int] = []
    for position in sorted(range(len(rows)), key=lambda position: len(rows[position])):
        if batch and (len(batch) == most or (len(batch) + 1) * len(rows[position]) > tokens):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def pad(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, side: Side | None = None) -> dict[str, Tensor]:
    """``input_ids``, ``attention_mask`` and, if the rows have types, ``token_type_ids``.

    Each is (rows, longest) int64, padded on this ``side``, by default the tokenizer's padding side.
    """

    def padded(lists: Iterable[list[int]], value: int = 0) -> Tensor:
        tensors = [torch.tensor(numbers, dtype=torch.long) for numbers in lists]
        return pad_sequence(tensors, True, value, side or tokenizer.padding_side)

    batch = {
        "input_ids": padded((row.ids for row in rows), int(tokenizer.pad_token_id or 0)),
        "attention_mask": padded([1] * len(row) for row in rows),
    }
    if rows[0].types is not None:
        batch["token_type_ids"] = padded(row.types or [0] * len(row) for row in rows)
    return batch
