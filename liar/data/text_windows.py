"""Windows of text for a language model: of calibration text, also of several sources at once, and held-out ones."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise, zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.data.own_text import own_text_steps
from liar.data.packing import joining_of, pack
from liar.data.text_reader import Samples, read_samples
from liar.errors import CalibrationError, ShortTextError
from liar.spec import PruneSpec, Separator
from liar.tasks.mixes import OWN_TEXT, Share
from liar.tasks.record import Task
from liar.tasks.splits import Split

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_MIN_WINDOWS = 2  # a single window has no standard error

_DRAWN_FROM = 1_000_000
"""Calibration windows of a running text are drawn from this many tokens at its beginning, or more if needed."""


def windows_steps(
    spec: PruneSpec, source: str, loaded: LoadedModel, count: int, more: int, data: str | None
) -> Generator[tuple[int, int], None, tuple[Tensor, Tensor, Samples]]:
    """At most ``count`` windows of the training part of ``source``, drawn with the seed, at most ``more`` others, and that
    part. The ``count`` do not depend on ``more``.

    Yields (tokens written, tokens in all) while the model writes text of its own.
    """
    length, seed = spec.sequence_length, spec.seed
    if source == OWN_TEXT:
        windows = yield from own_text_steps(loaded, count, length, seed)
        beside = (yield from own_text_steps(loaded, more, length, -1 - seed)) if more else windows[:0]
        return windows, beside, Samples(source, None, iter(()))
    joining = joining_of(source, spec.separator)
    samples = read_samples(source, "train", None if joining.is_running else seed, raw=joining.is_running, data=data)
    pool = max(count, _DRAWN_FROM // length) if joining.is_running else count
    windows = pack((sample.joined for sample in samples), loaded.tokenizer, length, pool + more, joining)
    if not joining.is_running:
        return windows[:count], windows[count:], samples
    among = range(min(pool, len(windows)))
    drawn = random.Random(seed).sample(among, min(count, len(among)))
    left = sorted({*range(len(windows))}.difference(drawn))
    others = random.Random(seed).sample(left, min(more, len(left)))
    return windows[sorted(drawn)], windows[sorted(others)], samples


def divided(count: int, shares: Sequence[Share]) -> list[int]:
    """``count`` divided by ``shares``: whole numbers with this sum, each less than one off its share."""
    so_far = [0, *accumulate(share.parts for share in shares)]
    whole = so_far[-1]
    return [end - start for start, end in pairwise((2 * count * parts + whole) // (2 * whole) for parts in so_far)]


def check_amount(source: str, found: int, wanted: int, *, whole: int) -> None:
    """Raise :class:`CalibrationError` if ``source`` holds nothing, :class:`ShortTextError` if it holds fewer tokens than
    ``wanted``, its share of ``whole``.
    """
    if found == 0:
        raise CalibrationError(
            f"The calibration text {source!r} is empty or too short to use; give more text, or a smaller sequence length."
        )
    if found < wanted:
        mixed, most = ", its share of the mix" if wanted < whole else "", found * whole // wanted
        raise ShortTextError(
            f"The calibration text {source!r} holds {found:,} usable tokens and {wanted:,} are asked for{mixed}; give more "
            f"text or ask for at most {most:,} tokens.",
            most,
        )


def check_beside(source: str, found: int, wanted: int, unit: str) -> None:
    """Raise :class:`CalibrationError` if ``source`` holds fewer than ``wanted`` texts or tokens beside the calibration's."""
    if found < wanted:
        raise CalibrationError(
            f"{wanted:,} {unit} of {source!r} are wanted that the calibration does not have, and there are {found:,}; give "
            "more text, or take fewer calibration tokens."
        )


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

    The text is ``data`` (see :func:`liar.data.text_reader.read_samples`), else those of the task; of several texts windows are
    taken in turn. At most ``limit`` windows, at least two, from the beginning of each text. Raises
    :class:`CalibrationError` for text of fewer than two windows.
    """
    sources = [data] if data is not None else [text.id for text in task.texts]
    count = max(limit, _MIN_WINDOWS)
    found: list[Tensor] = []
    digests: set[int] = set()
    for source in sources:
        joining = joining_of(source, separator)
        samples = read_samples(source, split, raw=joining.is_running)
        texts = (sample.joined for sample in samples)
        found.append(pack(texts, loaded.tokenizer, sequence_length, math.ceil(count / len(sources)), joining))
        digests |= samples.digests
    in_turn = [window for windows in zip_longest(*found) for window in windows if window is not None][:count]
    if len(in_turn) < _MIN_WINDOWS:
        raise CalibrationError(
            f"The text {data or task.title!r} fills {len(in_turn)} windows of {sequence_length} tokens, and perplexity needs "
            f"at least {_MIN_WINDOWS}; give more text or a smaller sequence length."
        )
    return torch.stack(in_turn), replace(samples, source=", ".join(sources), digests=digests, number=None)
