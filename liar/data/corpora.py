"""Token batches for calibration, and token windows of held-out text for perplexity."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.data.batching import Row, Side, by_length, encode, pad
from liar.data.joining import joining_of
from liar.data.labels import check_answers
from liar.data.packing import check_length, pack
from liar.data.texts import Samples, read_samples
from liar.data.windows import NO_ANSWER, Window, marks_of, windows_of
from liar.errors import AmbiguousLabelsError, CalibrationError
from liar.models.adapter import Batch
from liar.models.heads import classes_of, is_classifier, number_of, problem_of
from liar.models.memory import BATCH
from liar.results import CalibrationText
from liar.spec import AUTO, PruneSpec, Separator
from liar.tasks.items import Sample
from liar.tasks.record import Task
from liar.tasks.registry import task_named
from liar.tasks.splits import Split
from liar.tasks.texts import WIKI

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel

_MIN_WINDOWS = 2  # a single window has no standard error

_DRAWN_FROM = 1_000_000
"""Calibration windows of a running text are drawn from this many tokens at its beginning, or more if needed."""

_MARKING = "question-answering"


def calibration_batches(
    source: str,
    loaded: LoadedModel,
    tokens: int,
    sequence_length: int,
    seed: int,
    separator: Separator = AUTO,
    *,
    batch_size: int = BATCH,
    data: str | None = None,
) -> list[Batch]:
    """The batches of :func:`calibration_text`."""
    return calibration_text(source, loaded, tokens, sequence_length, seed, separator, batch_size=batch_size, data=data)[
        0
    ]


def text_of(spec: PruneSpec, loaded: LoadedModel) -> tuple[list[Batch], CalibrationText]:
    """The calibration text of a recipe, see :func:`calibration_text`."""
    return calibration_text(
        spec.calibration, loaded, spec.tokens, spec.sequence_length, spec.seed, spec.separator, data=copies_of(spec)
    )


def copies_of(spec: PruneSpec) -> str | None:
    """The folder of copies of datasets that a recipe names: its data, unless a task that it measures has them as texts."""
    return None if any(task_named(name).takes_texts for name in spec.evaluate) else spec.data


def calibration_text(
    source: str,
    loaded: LoadedModel,
    tokens: int,
    sequence_length: int,
    seed: int,
    separator: Separator = AUTO,
    *,
    batch_size: int = BATCH,
    data: str | None = None,
) -> tuple[list[Batch], CalibrationText]:
    """Batches with at least ``tokens`` real tokens of the training part of ``source``, on the CPU, and a description.

    Equal seeds give equal batches. Language models: ceil(tokens / sequence_length) windows of exactly
    ``sequence_length`` tokens without padding, with ``separator`` between two texts, packed from shuffled texts or
    drawn from a running text (:mod:`liar.data.joining`). Other models: single texts or pairs with their special tokens,
    cut at ``sequence_length``, in batches of similar length with padding. Their ``labels`` (sequences,), int64 classes
    or fp32 numbers for a regression, are included if every text has one that is unambiguous for the model's head.
    Models that mark answers: of a question with an accepted answer the windows that hold all of it, else the first one
    (:mod:`liar.data.windows`), with ``start_positions`` and ``end_positions`` (sequences,) int64 if every text has one.

    ``source`` is "auto" (the task of the model's head, else Wikipedia) or as in :func:`liar.data.texts.read_samples`.
    Raises :class:`CalibrationError` for text that is missing or holds fewer than ``tokens`` tokens,
    :class:`InvalidSpecError` if ``sequence_length`` exceeds the model's positions.
    """
    check_length(sequence_length, loaded.model.config, loaded.tokenizer)
    if source == AUTO:
        named = task_named(loaded.task) if loaded.task is not None else None
        source = WIKI.id if named is None or named.is_running else named.name
    if loaded.is_language_model:
        count = math.ceil(tokens / sequence_length)
        windows, split = _windows(source, loaded, sequence_length, count, seed, separator, data)
        _check_amount(source, windows.numel(), tokens)
        batches: list[Batch] = [
            {"input_ids": part, "attention_mask": torch.ones_like(part)} for part in windows.split(batch_size)
        ]
        used = CalibrationText(source=source, split=split, tokens=windows.numel(), sequences=len(windows))
        return batches, used
    samples = read_samples(source, "train", seed, data=data)
    chosen, rows = _texts_of(samples, loaded, tokens, sequence_length)
    total = sum(map(len, rows))
    _check_amount(source, total, tokens)
    labels = _labels(chosen, loaded, samples)
    if loaded.head == _MARKING:
        check_answers(chosen, source)
    batches = []
    targets = _marks(chosen, rows) if labels is None else {"labels": labels}
    side: Side | None = "right" if loaded.head == _MARKING else None
    for positions in by_length(rows, batch_size):
        batch = pad([rows[position] for position in positions], loaded.tokenizer, side)
        batches.append({**batch, **{name: values[positions] for name, values in targets.items()}})
    cut = sum(row.cut for row in rows)
    return batches, CalibrationText(source=source, split=samples.split, tokens=total, sequences=len(rows), cut=cut)


def held_out_windows(
    loaded: LoadedModel,
    task: Task,
    split: Split,
    *,
    data: str | None,
    limit: int,
    sequence_length: int,
    separator: Separator,
) -> tuple[Tensor, Samples]:
    """Held-out windows for perplexity, (windows, sequence_length) int64, and the source that they were read from.

    The text is ``data`` (see :func:`liar.data.texts.read_samples`), else those of the task; of several texts windows are
    taken in turn. At most ``limit`` windows, at least two, from the beginning of each text. Raises
    :class:`CalibrationError` for text of fewer than two windows.
    """
    sources = [data] if data is not None else [text.id for text in task.texts]
    count = max(limit, _MIN_WINDOWS)
    found: list[Tensor] = []
    for source in sources:
        joining = joining_of(source, separator)
        samples = read_samples(source, split, raw=joining.is_running)
        texts = (sample.joined for sample in samples)
        found.append(pack(texts, loaded.tokenizer, sequence_length, math.ceil(count / len(sources)), joining))
    in_turn = [window for windows in zip_longest(*found) for window in windows if window is not None][:count]
    if len(in_turn) < _MIN_WINDOWS:
        raise CalibrationError(
            f"The text {data or task.title!r} fills {len(in_turn)} windows of {sequence_length} tokens, and perplexity needs "
            f"at least {_MIN_WINDOWS}; give more text or a smaller sequence length."
        )
    source = samples.source if len(sources) == 1 else ", ".join(sources)
    return torch.stack(in_turn), replace(samples, source=source)


def _windows(
    source: str,
    loaded: LoadedModel,
    sequence_length: int,
    count: int,
    seed: int,
    separator: Separator,
    data: str | None,
) -> tuple[Tensor, str | None]:
    """At most ``count`` windows of the training part of ``source``, drawn with ``seed``, and the name of that part."""
    joining = joining_of(source, separator)
    samples = read_samples(source, "train", None if joining.is_running else seed, raw=joining.is_running, data=data)
    pool = max(count, _DRAWN_FROM // sequence_length) if joining.is_running else count
    windows = pack((sample.joined for sample in samples), loaded.tokenizer, sequence_length, pool, joining)
    if not joining.is_running:
        return windows, samples.split
    drawn = random.Random(seed).sample(range(len(windows)), min(count, len(windows)))
    return windows[sorted(drawn)], samples.split


def _rows_of(sample: Sample, loaded: LoadedModel, sequence_length: int) -> Sequence[Row]:
    """One row; or, if the model marks answers and the sample has one, the windows that hold it, else the first window."""
    if loaded.head == _MARKING and sample.answers:
        windows = windows_of([sample], loaded.tokenizer, sequence_length, config=loaded.model.config)
        return [window for window in windows if marks_of(window, sample) != NO_ANSWER] or windows[:1]
    pairs = None if sample.pair is None else [sample.pair]
    return encode([sample.text], loaded.tokenizer, sequence_length, pairs=pairs, config=loaded.model.config)


def _marks(samples: list[Sample], rows: list[Row]) -> dict[str, Tensor]:
    """Positions of the first and the last token of each row's answer, (rows,) each; empty if a row is no window."""
    marks = [marks_of(row, sample) for sample, row in zip(samples, rows, strict=True) if isinstance(row, Window)]
    if len(marks) < len(rows):
        return {}
    starts, ends = torch.tensor(marks).unbind(dim=1)
    return {"start_positions": starts, "end_positions": ends}


def _texts_of(
    samples: Iterable[Sample], loaded: LoadedModel, tokens: int, sequence_length: int
) -> tuple[list[Sample], list[Row]]:
    """The rows of the first ``samples`` that together hold at least ``tokens`` tokens, and the sample of each row."""
    chosen: list[Sample] = []
    rows: list[Row] = []
    count = 0
    for sample in samples:
        own = _rows_of(sample, loaded, sequence_length)
        rows += own
        chosen += [sample] * len(own)
        count += sum(map(len, own))
        if count >= tokens:
            break
    return chosen, rows


def _labels(samples: list[Sample], loaded: LoadedModel, read: Samples) -> Tensor | None:
    """Classes of the model for all samples (samples,), or numbers for a regression.

    None if a sample has no usable label, or if the labels can be read both as names and as numbers of classes.
    """
    if loaded.head == "sequence-classification" and problem_of(loaded.model.config) == "regression":
        numbers = [number for sample in samples if (number := number_of(sample.label)) is not None]
        return torch.tensor(numbers) if len(numbers) == len(samples) else None
    labels = [sample.label for sample in samples if sample.label is not None]
    if not is_classifier(loaded.model) or len(labels) < len(samples):
        return None
    if (order := loaded.label_orders.get(read.source)) is not None:
        classes: dict[str, int] = dict(zip(task_named(read.source).labels, order.classes, strict=True))
        found = [classes.get(label) for label in labels]
    else:
        try:
            found = classes_of(labels, loaded.model.config, possible=read.label_names)
        except AmbiguousLabelsError:
            return None
    known = [label for label in found if label is not None]
    return torch.tensor(known) if len(known) == len(found) else None


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
