"""The part of the calibration text that suffices where an estimate only steers or reports.

Units are chosen and repairs fitted by all tokens. Norm-aware curves, and the run of layers that goes, change little beyond a
few tokens for each channel; sensitivities for an allocation and norm-aware errors for a report are means, which need fewer.

>>> import torch
>>> from liar.calibration.sample import divided
>>> batch = {"input_ids": torch.arange(32).view(4, 8), "attention_mask": torch.ones(4, 8, dtype=torch.long)}
>>> some, others = divided([batch], tokens=15)
>>> some[0]["input_ids"].shape, others[0]["input_ids"].shape
(torch.Size([2, 8]), torch.Size([2, 8]))
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from liar.runtime.devices import Batch

CURVE_TOKENS = 6
"""Tokens for each channel that suffice for a curve, or to choose a run of layers."""
MEAN_TOKENS = 2
"""Tokens for each channel that suffice for a mean over tokens."""
SENSITIVITY_TOKENS = (1, 2)
"""Fewest and most tokens for each channel that sensitivities are means of; between the two a third of the text. With 4,096
tokens of SmolLM2 and one for each channel, the loss on validation windows is that of two, at half the cost."""


def sensitivity_tokens(widest: int, tokens: int) -> int:
    """How many of ``tokens`` the sensitivities are means of, if the widest site has ``widest`` channels.

    >>> [sensitivity_tokens(1536, tokens) for tokens in (1024, 3072, 6144, 24576)]
    [1024, 1536, 2048, 3072]
    """
    fewest, most = SENSITIVITY_TOKENS
    return min(tokens, most * widest, max(fewest * widest, tokens // 3))


def tokens_of(batches: Iterable[Batch]) -> int:
    """Number of real tokens."""
    return sum(int(batch["attention_mask"].sum()) for batch in batches)


def divided(batches: Sequence[Batch], tokens: int) -> tuple[list[Batch], list[Batch]]:
    """Whole sequences with at least so many real ``tokens``, all if there are fewer, and the other sequences.

    They are drawn at random, because batches are sorted by length; equal batches are divided equally.
    """
    lengths = torch.cat([batch["attention_mask"].sum(dim=1) for batch in batches])
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0))
    enough = int((lengths[order].cumsum(0) < tokens).sum()) + 1
    drawn = torch.zeros(len(lengths), dtype=torch.bool)
    drawn[order[:enough]] = True
    parts = drawn.split([len(batch["input_ids"]) for batch in batches])
    return _rows(batches, parts), _rows(batches, [~part for part in parts])


def stride(tokens: int, channels: int, each: int) -> float:
    """s such that every s-th sequence of a text of ``tokens`` has ``each`` of them for each channel of a site."""
    return max(1.0, tokens / (each * channels))


def every(stride: float, sequences: int) -> slice | Tensor:
    """Indices of every ``stride``-th sequence of a batch, the first one included; the stride need not be an integer.

    >>> every(1.5, 8)
    tensor([0, 1, 3, 4, 6, 7])
    """
    if stride == 1:
        return slice(None)  # views in place of copies
    return (torch.arange(math.ceil(sequences / stride)) * stride).long()


def _rows(batches: Sequence[Batch], parts: Sequence[Tensor]) -> list[Batch]:
    return [
        {name: tensor[part] for name, tensor in batch.items()}
        for batch, part in zip(batches, parts, strict=True)
        if part.any()
    ]
