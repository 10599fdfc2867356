"""How fast a model is: the time of one forward of a fixed batch, taken a handful of times."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from liar.data.packing import longest_sequence
from liar.models.adapter import execution_device
from liar.results import Measured, Quartiles, Speed

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel

_TOKENS = 128

# A quick model is timed often, a slow one no longer than its reader wants to wait: two repeats are the least that have
# quartiles, and the third tells a hiccup from the rule.
_LEAST, _MOST = 3, 9
_SECONDS = 0.4


def speed_steps(loaded: LoadedModel, variant: Measured = "dense") -> Generator[tuple[int, int], None, Speed]:
    """Yield (forwards done, forwards at most); return the median time of one and the distance of its quartiles.

    The batch is one sequence of 128 tokens, or as many as the model has positions for. The first forward, which pays for
    what later ones find ready, does not count. ``variant`` only labels the result.
    """
    length = min(_TOKENS, longest_sequence(loaded.model.config, loaded.tokenizer))
    tokens = fixed_tokens(loaded, 1, length)
    seconds_of_forward(loaded, tokens)
    seconds: list[float] = []
    while len(seconds) < _LEAST or (len(seconds) < _MOST and sum(seconds) < _SECONDS):
        seconds.append(seconds_of_forward(loaded, tokens))
        yield len(seconds), _MOST
    middle = quartiles(seconds)
    spread = middle.upper - middle.lower
    return Speed(variant=variant, seconds=middle.median, spread=spread, tokens=length, repeats=len(seconds))


def fixed_tokens(loaded: LoadedModel, sequences: int, length: int) -> Tensor:
    """Token ids (sequences, length), always the same; what they say changes nothing about the time they take."""
    tokens = torch.arange(length, device=execution_device(loaded.model)) % int(loaded.model.config.vocab_size)
    return tokens.expand(sequences, length)


@torch.no_grad()
def seconds_of_forward(loaded: LoadedModel, tokens: Tensor) -> float:
    """One forward of ``tokens`` (sequences, length), none of them padding, with nothing kept for a next one."""
    mask = torch.ones_like(tokens)
    options = {"use_cache": False} if loaded.is_language_model else {}
    return seconds_of(lambda: loaded.model(input_ids=tokens, attention_mask=mask, **options), tokens.device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """How long ``work`` takes on ``device``."""
    _wait_for(device)
    start = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - start


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of at least two ``values``, both ends included."""
    lower, median, upper = quantiles(values, n=4, method="inclusive")
    return Quartiles(lower=lower, median=median, upper=upper)


def _wait_for(device: torch.device) -> None:
    """Accelerators are told what to do and do it later; the clock waits until they have."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
