"""Assignment of texts to train, validation and test by a hash, independent of order, machine and seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Literal, TypeVar

Split = Literal["train", "validation", "test"]
"""``train`` is also for calibration; recipes are chosen on ``validation``; only results on ``test`` are reported."""

T = TypeVar("T")

_PUNCTUATION = re.compile(r"[\W_]+")
_TRAIN_PERCENT = 70
_VALIDATION_PERCENT = 15


def digest_of(key: str) -> int:
    """sha256 of ``key`` as an integer, after case folding and with each run of white space as one space."""
    return int(hashlib.sha256(" ".join(key.casefold().split()).encode()).hexdigest(), 16)


def letters_of(key: str) -> str:
    """The letters and digits of ``key`` after case folding: equal for keys that differ in punctuation and spaces only."""
    return _PUNCTUATION.sub("", key.casefold()) or key


def part_of(items: Iterable[tuple[str, T]], split: Split) -> dict[int, T]:
    """The items of one part, by the digest of their keys in ascending order.

    An item of validation or test is left out if it equals one of a part before, up to punctuation: the hash alone would put
    both into different parts. Moving it to the part of the other would change texts that models were trained on.
    """
    parts: dict[Split, dict[int, tuple[str, T]]] = {"train": {}, "validation": {}, "test": {}}
    for key, item in items:
        parts[split_of(key)][digest_of(key)] = key, item
    own, before = parts[split], list(parts)[: list(parts).index(split)]
    letters = {letters_of(key) for name in before for key, _ in parts[name].values()}
    return {digest: own[digest][1] for digest in sorted(own) if not before or letters_of(own[digest][0]) not in letters}


def split_of(key: str) -> Split:
    """Part of the text with this ``key`` (an article's title, a sentence): 70 % train, 15 % validation, 15 % test."""
    percent = digest_of(key) % 100
    if percent < _TRAIN_PERCENT:
        return "train"
    return "validation" if percent < _TRAIN_PERCENT + _VALIDATION_PERCENT else "test"
