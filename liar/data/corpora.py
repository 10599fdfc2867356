"""Calibration text as token batches."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from liar.data.packing import check_length, pack
from liar.data.tasks import LABELS, model_labels, task_items
from liar.data.texts import read_texts
from liar.errors import CalibrationError
from liar.models.adapter import Batch
from liar.models.catalog import LoadedModel
from liar.spec import AUTO

MIN_TOKENS: Final = 64
"""Fewer real tokens than that say nothing about a layer."""


def calibration_batches(  # noqa: PLR0917 (a published signature)
    source: str, loaded: LoadedModel, tokens: int, sequence_length: int, seed: int, batch_size: int = 8
) -> list[Batch]:
    """Tokenised text of the training split, on the CPU, the same for the same ``seed``.

    Language models get ceil(tokens / sequence_length) windows of exactly ``sequence_length`` without padding. Others
    get single texts with their special tokens, cut at ``sequence_length`` and padded with texts of like length, until
    ``tokens`` real tokens are there or the text ends; ``labels`` (sequences,) come along where the source has those of
    the model's task. ``source`` is "auto" or as in :func:`liar.data.texts.read_texts`. Raises
    :class:`CalibrationError` for missing or too short text, :class:`InvalidSpecError` for too long sequences.
    """
    check_length(sequence_length, loaded.model.config, loaded.tokenizer)
    if source == AUTO:
        source = loaded.task if loaded.task is not None and loaded.task in LABELS else "wiki"
    if loaded.is_language_model:
        windows = _windows(source, loaded, math.ceil(tokens / sequence_length), sequence_length, seed)
        return [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in windows.split(batch_size)]
    rows = _rows(source, loaded, tokens, sequence_length, seed)
    return [_pad(rows[start : start + batch_size], loaded) for start in range(0, len(rows), batch_size)]


def _windows(source: str, loaded: LoadedModel, count: int, sequence_length: int, seed: int) -> Tensor:
    windows = pack(read_texts(source, "train", seed), loaded.tokenizer, sequence_length, count)
    if len(windows) == 0:
        raise CalibrationError(
            f"The calibration text {source!r} does not fill one window of {sequence_length} tokens; give more text or "
            "a smaller sequence length."
        )
    return windows


@dataclass(frozen=True, slots=True)
class _Row:
    """One text with its special tokens; ``label`` in the model's numbering."""

    tokens: list[int]
    label: int | None


def _rows(source: str, loaded: LoadedModel, tokens: int, sequence_length: int, seed: int) -> list[_Row]:
    """Texts with ``tokens`` tokens in all, short ones first so that those of like length share a batch."""
    rows: list[_Row] = []
    count = 0
    for text, label in _texts(source, loaded, seed):
        if count >= tokens:
            break
        rows.append(_Row(loaded.tokenizer(text, truncation=True, max_length=sequence_length)["input_ids"], label))
        count += len(rows[-1].tokens)
    if count < min(tokens, MIN_TOKENS):
        raise CalibrationError(
            f"The calibration text {source!r} holds {count} tokens; give at least {MIN_TOKENS}, better some thousands."
        )
    return sorted(rows, key=lambda row: len(row.tokens))


def _texts(source: str, loaded: LoadedModel, seed: int) -> Iterable[tuple[str, int | None]]:
    """Texts in the order of ``seed``, with labels where they are those of the model's own task."""
    if loaded.task is None or loaded.task != source:
        return ((text, None) for text in read_texts(source, "train", seed))
    items = task_items(loaded.task, "train")
    pairs = list(zip(items.texts, model_labels(items, loaded.model.config), strict=True))
    random.Random(seed).shuffle(pairs)
    return pairs


def _pad(rows: list[_Row], loaded: LoadedModel) -> Batch:
    padded = loaded.tokenizer.pad({"input_ids": [row.tokens for row in rows]}, return_tensors="pt")
    batch = {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]}
    labels = [row.label for row in rows if row.label is not None]
    return {**batch, "labels": torch.tensor(labels)} if labels else batch
