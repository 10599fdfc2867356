"""Timing of a model's work on its device, and quartiles of many such times.

>>> from liar import load_model
>>> from liar.evaluate.timing.speed import fixed_tokens, quartiles, seconds_of_forward
>>> loaded = load_model("tiny")
>>> times = quartiles([seconds_of_forward(loaded, fixed_tokens(loaded, sequences=1, length=16)) for _ in range(5)])
>>> 0 < times.lower <= times.median <= times.upper
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.results import Quartiles
from liar.runtime.devices import execution_device

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel


def fixed_tokens(loaded: LoadedModel, sequences: int, length: int) -> Tensor:
    """Token ids (sequences, length), always the same, since the time does not depend on the text."""
    tokens = torch.arange(length, device=execution_device(loaded.model)) % int(loaded.model.config.vocab_size)
    return tokens.expand(sequences, length)


@torch.no_grad()
def seconds_of_forward(loaded: LoadedModel, tokens: Tensor) -> float:
    """Seconds of one forward of ``tokens`` (sequences, length), without padding and without a cache."""
    mask = torch.ones_like(tokens)
    options = {"use_cache": False} if loaded.is_language_model else {}
    return seconds_of(lambda: loaded.model(input_ids=tokens, attention_mask=mask, **options), tokens.device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that ``work`` takes on ``device``."""
    _wait_for(device)
    start = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - start


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of at least two ``values``, by the inclusive method."""
    lower, median, upper = quantiles(values, n=4, method="inclusive")
    return Quartiles(lower=lower, median=median, upper=upper)


def _wait_for(device: torch.device) -> None:
    """Wait until an accelerator has finished its queued work, which runs asynchronously."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
