"""How fast a model is: the time of one forward of a fixed batch, taken a handful of times."""

from __future__ import annotations

import time
from collections.abc import Generator
from statistics import quantiles
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from liar.data.packing import longest_sequence
from liar.models.adapter import execution_device
from liar.results import Measured, Speed

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
    device = execution_device(loaded.model)
    length = min(_TOKENS, longest_sequence(loaded.model.config, loaded.tokenizer))
    tokens = torch.arange(length, device=device).unsqueeze(0) % int(loaded.model.config.vocab_size)
    mask = torch.ones_like(tokens)
    options = {"use_cache": False} if loaded.is_language_model else {}
    _seconds_of_forward(loaded.model, tokens, mask, options)
    seconds: list[float] = []
    while len(seconds) < _LEAST or (len(seconds) < _MOST and sum(seconds) < _SECONDS):
        seconds.append(_seconds_of_forward(loaded.model, tokens, mask, options))
        yield len(seconds), _MOST
    lower, median, upper = quantiles(seconds, n=4, method="inclusive")
    return Speed(variant=variant, seconds=median, spread=upper - lower, tokens=length, repeats=len(seconds))


@torch.no_grad()
def _seconds_of_forward(model: nn.Module, tokens: Tensor, mask: Tensor, options: dict[str, bool]) -> float:
    _wait_for(tokens.device)
    start = time.perf_counter()
    model(input_ids=tokens, attention_mask=mask, **options)
    _wait_for(tokens.device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    """Accelerators are told what to do and do it later; the clock waits until they have."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
