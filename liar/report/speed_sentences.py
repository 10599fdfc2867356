"""What timings in turns allow to be said: that a model is faster or slower, that it is neither, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping

from liar.results import Quartiles, SpeedGain, Work

DOING: Mapping[Work, str] = {
    "prompt": "at reading a prompt",
    "decoding": "at writing",
    "text": "with one text at a time",
    "batch": "with texts in batches",
}

NOTHING = 0.02
"""Shares below this are nothing: even beside itself a model comes out a percent faster or slower in most turns."""

_WIDE = 0.25
"""Quartiles that are farther apart than this share of the median measure the machine rather than the model."""

_WIDE_AROUND_ONE = 0.1
"""The same where one quartile says faster and the other slower: a tie of two models is closer than this."""


def is_noisy(gain: Quartiles) -> bool:
    """Whether the turns differ too much from each other to tell anything."""
    width = gain.upper - gain.lower
    return width > _WIDE * gain.median or (gain.lower < 1 < gain.upper and width > _WIDE_AROUND_ONE)


def is_slower(gain: Quartiles) -> bool:
    """Whether the second model was slower in three turns of four, and by more than a hair."""
    return gain.upper < 1 and gain.median < 1 - NOTHING and not is_noisy(gain)


def is_faster(gain: Quartiles) -> bool:
    """Whether the second model was faster in three turns of four, and by more than a hair."""
    return gain.lower > 1 and gain.median > 1 + NOTHING and not is_noisy(gain)


def times(gain: float) -> str:
    """``1.41 times``."""
    return f"{gain:.2f} times"


def speed_words(item: SpeedGain) -> str:
    """``1.41 times as fast at reading a prompt (1.38 to 1.46 in turns)``, or why no such thing can be said."""
    gain, doing = item.gain, DOING[item.work]
    spread = f"{gain.lower:.2f} to {gain.upper:.2f}"
    if is_noisy(gain):
        return f"the machine was too noisy to tell how fast ({spread} times in turns)"
    if is_faster(gain) or is_slower(gain):
        return f"{'slower: ' if gain.median < 1 else ''}{times(gain.median)} as fast {doing} ({spread} in turns)"
    return f"not measurably faster {doing} ({spread} times in turns)"
