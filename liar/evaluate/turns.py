"""Which of two models is faster: both do the same work in turns, so that a slow spell of the machine hits both."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from transformers import DynamicCache

from liar.decode import last_logits
from liar.evaluate.speed import fixed_tokens, quartiles, seconds_of, seconds_of_forward
from liar.results import SpeedComparison, Work

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel

BATCH = 16
"""Texts that a classifier reads at once, where it is not given one."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much one turn of some work is."""

    sequences: int
    tokens: int


def turn_steps(
    dense: LoadedModel, pruned: LoadedModel, prompt_tokens: int, new_tokens: int, repeats: int
) -> Generator[tuple[int, int], None, list[SpeedComparison]]:
    """Yield (turns done, all turns): one of the dense model, one of the pruned one, and again; ``repeats`` (at least two) each.

    In a turn a language model reads a prompt into its cache and continues it greedily, whatever it says; any other model
    reads one text of that length, then :data:`BATCH` at once. The first turn of either, which pays for what later ones find
    ready, does not count.
    """
    amounts = _amounts(dense, prompt_tokens, new_tokens)
    taken: dict[Work, tuple[list[float], list[float]]] = {work: ([], []) for work in amounts}
    total = 2 * (repeats + 1)
    for turn in range(total):
        for work, seconds in _turn((dense, pruned)[turn % 2], amounts).items():
            if turn >= 2:
                taken[work][turn % 2].append(seconds)
        yield turn + 1, total
    return [_comparison(work, amounts[work], *seconds) for work, seconds in taken.items()]


def _amounts(loaded: LoadedModel, prompt_tokens: int, new_tokens: int) -> dict[Work, Amount]:
    if loaded.is_language_model:
        return {"prompt": Amount(1, prompt_tokens), "decoding": Amount(1, new_tokens)}
    return {"text": Amount(1, prompt_tokens), "batch": Amount(BATCH, prompt_tokens)}


def _turn(loaded: LoadedModel, amounts: Mapping[Work, Amount]) -> dict[Work, float]:
    """Seconds of each kind of work."""
    if not loaded.is_language_model:
        return {
            work: seconds_of_forward(loaded, fixed_tokens(loaded, amount.sequences, amount.tokens))
            for work, amount in amounts.items()
        }
    prompt = fixed_tokens(loaded, 1, amounts["prompt"].tokens)
    cache = DynamicCache(config=loaded.model.config)
    logits: list[Tensor] = []

    def write() -> None:
        for _ in range(amounts["decoding"].tokens):
            logits.append(last_logits(loaded.model, logits.pop().argmax().view(1, 1), cache))

    reading = seconds_of(lambda: logits.append(last_logits(loaded.model, prompt, cache)), prompt.device)
    return {"prompt": reading, "decoding": seconds_of(write, prompt.device)}


def _comparison(work: Work, amount: Amount, dense: list[float], pruned: list[float]) -> SpeedComparison:
    tokens = amount.sequences * amount.tokens
    return SpeedComparison(
        work=work,
        sequences=amount.sequences,
        tokens=amount.tokens,
        dense=quartiles([tokens / seconds for seconds in dense]),
        pruned=quartiles([tokens / seconds for seconds in pruned]),
        gain=quartiles([before / after for before, after in zip(dense, pruned, strict=True)]),
    )
