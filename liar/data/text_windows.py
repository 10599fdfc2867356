"""Windows of calibration text for a language model, and the shares of several texts."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from liar.data.own_text import own_text_steps
from liar.data.packing import joining_of, pack
from liar.data.text_reader import Samples, read_samples
from liar.errors import CalibrationError, ShortTextError
from liar.spec import PruneSpec
from liar.tasks.mixes import OWN_TEXT, Share

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

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
