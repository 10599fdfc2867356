"""Which part of the data a text belongs to: decided by a hash, so it never depends on order, machine or seed."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]
"""``train`` also serves calibration; recipes are chosen on ``validation``; only ``test`` is reported."""

_TRAIN_PERCENT = 70
_VALIDATION_PERCENT = 15


def digest_of(key: str) -> int:
    """sha256 of ``key`` as an integer; equal up to case and white space means equal."""
    return int(hashlib.sha256(" ".join(key.casefold().split()).encode()).hexdigest(), 16)


def split_of(key: str) -> Split:
    """70 % train, 15 % validation, 15 % test, by a hash of ``key`` (an article's title, a sentence)."""
    percent = digest_of(key) % 100
    if percent < _TRAIN_PERCENT:
        return "train"
    return "validation" if percent < _TRAIN_PERCENT + _VALIDATION_PERCENT else "test"
