"""Text as token batches: for calibration, and for the perplexity of held-out text."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.data.batching import by_length, encode, pad
from liar.data.joining import joining_of
from liar.data.labels import classes_of, is_classifier
from liar.data.packing import check_length, evaluation_length, pack
from liar.data.splits import Split
from liar.data.tasks import LABELS
from liar.data.texts import WIKI, Sample, read_samples
from liar.errors import CalibrationError
from liar.models.adapter import Batch
from liar.models.heads import problem_of
from liar.spec import AUTO, Separator

if TYPE_CHECKING:  # the catalog reads the labels of the tasks from this package
    from liar.models.catalog import LoadedModel

DEFAULT_WINDOWS = 20
"""Windows of held-out text that perplexity is taken over when nobody says how many."""

_MIN_WINDOWS = 2  # one has no standard error

_DRAWN_FROM = 1_000_000
"""Tokens at the beginning of a running text that calibration windows are drawn from, or more where more are asked for."""


def calibration_batches(
    source: str,
    loaded: LoadedModel,
    tokens: int,
    sequence_length: int,
    seed: int,
    separator: Separator = AUTO,
    *,
    batch_size: int = 8,
) -> list[Batch]:
    """At least ``tokens`` real tokens of the training part of ``source``, on the CPU; equal seeds give equal batches.

    Language models get ceil(tokens / sequence_length) windows of exactly ``sequence_length``, without padding, with
    ``separator`` between two texts: of shuffled texts, or drawn from a running text (:mod:`liar.data.joining`). Others
    get single texts with their special tokens, cut at ``sequence_length`` and padded beside texts of like length, with
    ``labels`` (sequences,) where every text has one that the model's head knows: int64 classes, fp32 numbers for a regression.

    ``source`` is "auto" (the task of the model's head, else Wikipedia) or as in
    :func:`liar.data.texts.read_samples`. Raises :class:`CalibrationError` for text that is missing or holds fewer than
    ``tokens`` tokens, :class:`InvalidSpecError` for sequences longer than the model's positions.
    """
    check_length(sequence_length, loaded.model.config, loaded.tokenizer)
    if source == AUTO:
        source = loaded.task if loaded.task is not None and loaded.task in LABELS else WIKI
    if loaded.is_language_model:
        count = math.ceil(tokens / sequence_length)
        windows = _windows(source, loaded, sequence_length, count, seed, separator)
        _check_amount(source, windows.numel(), tokens)
        return [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in windows.split(batch_size)]
    chosen, rows = _texts_of(read_samples(source, "train", seed), loaded, tokens, sequence_length)
    _check_amount(source, sum(map(len, rows)), tokens)
    labels = _labels(chosen, loaded)
    batches: list[Batch] = []
    for positions in by_length(rows, batch_size):
        batch = pad([rows[position] for position in positions], loaded.tokenizer)
        batches.append(batch if labels is None else {**batch, "labels": labels[positions]})
    return batches


def evaluation_windows(
    loaded: LoadedModel,
    split: Split = "test",
    *,
    data: str | None = None,
    limit: int | None = None,
    sequence_length: int | None = None,
    separator: Separator = AUTO,
) -> Tensor:
    """Held-out text for perplexity: (windows, sequence_length) int64, 256 tokens each unless it says otherwise.

    As many windows as the text fills, at most ``limit`` (20 unless it says otherwise) and never fewer than two.
    Wikipedia leads of ``split``, or the text ``data`` (see :func:`liar.data.texts.read_samples`) from its beginning.
    Raises :class:`CalibrationError` for text of fewer than two windows, :class:`InvalidSpecError` for sequences longer
    than the model's positions.
    """
    sequence_length = evaluation_length(sequence_length, loaded.model.config, loaded.tokenizer)
    joining = joining_of(data or WIKI, separator)
    texts = (sample.text for sample in read_samples(data or WIKI, split, raw=joining.is_running))
    windows = pack(texts, loaded.tokenizer, sequence_length, max(limit or DEFAULT_WINDOWS, _MIN_WINDOWS), joining)
    if len(windows) < _MIN_WINDOWS:
        raise CalibrationError(
            f"The text {data or WIKI!r} fills {len(windows)} windows of {sequence_length} tokens, and perplexity needs "
            f"at least {_MIN_WINDOWS}; give more text or a smaller sequence length."
        )
    return windows


def _windows(
    source: str, loaded: LoadedModel, sequence_length: int, count: int, seed: int, separator: Separator
) -> Tensor:
    """At most ``count`` windows of the training part of ``source``, chosen by ``seed``."""
    joining = joining_of(source, separator)
    samples = read_samples(source, "train", None if joining.is_running else seed, raw=joining.is_running)
    pool = max(count, _DRAWN_FROM // sequence_length) if joining.is_running else count
    windows = pack((sample.text for sample in samples), loaded.tokenizer, sequence_length, pool, joining)
    if not joining.is_running:
        return windows
    return windows[sorted(random.Random(seed).sample(range(len(windows)), min(count, len(windows))))]


def _texts_of(
    samples: Iterable[Sample], loaded: LoadedModel, tokens: int, sequence_length: int
) -> tuple[list[Sample], list[list[int]]]:
    """As many texts as it takes, and their token ids."""
    chosen: list[Sample] = []
    rows: list[list[int]] = []
    count = 0
    for sample in samples:
        rows += encode([sample.text], loaded.tokenizer, sequence_length)
        chosen.append(sample)
        count += len(rows[-1])
        if count >= tokens:
            break
    return chosen, rows


def _labels(samples: list[Sample], loaded: LoadedModel) -> Tensor | None:
    """Classes of the model for all samples (samples,), numbers for a regression, or None where one has none."""
    if loaded.head == "sequence-classification" and problem_of(loaded.model.config) == "regression":
        numbers = [_number(sample.label) for sample in samples]
        return torch.tensor(numbers) if all(map(math.isfinite, numbers)) else None
    if not is_classifier(loaded.model):
        return None
    classes = classes_of(loaded.model.config)
    found = [classes.get(sample.label.casefold()) if sample.label is not None else None for sample in samples]
    known = [label for label in found if label is not None]
    return torch.tensor(known) if len(known) == len(found) else None


def _number(label: str | None) -> float:
    """NaN for what is none."""
    try:
        return math.nan if label is None else float(label)
    except ValueError:
        return math.nan


def _check_amount(source: str, found: int, wanted: int) -> None:
    if found == 0:
        raise CalibrationError(
            f"The calibration text {source!r} is empty or too short to use; give more text, or a smaller sequence length."
        )
    if found < wanted:
        raise CalibrationError(
            f"The calibration text {source!r} holds {found:,} usable tokens and {wanted:,} are asked for; give more text "
            f"or ask for at most {found:,} tokens."
        )
