"""Assignment of texts to train, validation and test by a hash, independent of order, machine and seed."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]
"""``train`` is also for calibration; recipes are chosen on ``validation``; only results on ``test`` are reported."""

_TRAIN_PERCENT = 70
_VALIDATION_PERCENT = 15


def digest_of(key: str) -> int:
    """sha256 of ``key`` as an integer, after case folding and with each run of white space as one space."""
    return int(hashlib.sha256(" ".join(key.casefold().split()).encode()).hexdigest(), 16)


def split_of(key: str) -> Split:
    """Part of the text with this ``key`` (an article's title, a sentence): 70 % train, 15 % validation, 15 % test."""
    percent = digest_of(key) % 100
    if percent < _TRAIN_PERCENT:
        return "train"
    return "validation" if percent < _TRAIN_PERCENT + _VALIDATION_PERCENT else "test"
