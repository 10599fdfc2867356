"""Sentences on timings in turns: a model is faster, slower, neither, or the machine was too noisy."""

from __future__ import annotations

from collections.abc import Mapping

from liar.results import Quartiles, SpeedGain, Workload

DOING: Mapping[Workload, str] = {
    "prompt": "at reading a prompt",
    "decoding": "at writing",
    "text": "with one text at a time",
    "batch": "with texts in batches",
}

NEGLIGIBLE = 0.02
"""Shares below this count as zero: timed against itself, a model differs by a percent in most turns."""

_WIDE = 0.25
"""Quartiles farther apart than this share of the median measure the machine rather than the model."""

_WIDE_AROUND_ONE = 0.1
"""Limit of the absolute distance of the quartiles if 1 lies between them: those of equally fast models are closer."""


def is_noisy(gain: Quartiles) -> bool:
    """Whether the turns differ too much from each other for a conclusion."""
    width = gain.upper - gain.lower
    return width > _WIDE * gain.median or (gain.lower < 1 < gain.upper and width > _WIDE_AROUND_ONE)


def is_slower(gain: Quartiles) -> bool:
    """Whether the second model was slower in three turns of four, and by more than :data:`NEGLIGIBLE`."""
    return gain.upper < 1 and gain.median < 1 - NEGLIGIBLE and not is_noisy(gain)


def is_faster(gain: Quartiles) -> bool:
    """Whether the second model was faster in three turns of four, and by more than :data:`NEGLIGIBLE`."""
    return gain.lower > 1 and gain.median > 1 + NEGLIGIBLE and not is_noisy(gain)


def times(gain: float) -> str:
    """A factor for display: ``1.41 times``."""
    return f"{gain:.2f} times"


def speed_words(item: SpeedGain) -> str:
    """``1.41 times as fast at reading a prompt (1.38 to 1.46 in turns)``, or that no difference could be measured."""
    gain, doing = item.gain, DOING[item.work]
    spread = f"{gain.lower:.2f} to {gain.upper:.2f}"
    if is_noisy(gain):
        return f"the machine was too noisy to measure how fast ({spread} times in turns)"
    if is_faster(gain) or is_slower(gain):
        return f"{'slower: ' if gain.median < 1 else ''}{times(gain.median)} as fast {doing} ({spread} in turns)"
    return f"not measurably faster {doing} ({spread} times in turns)"
