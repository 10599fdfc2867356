"""Timing of a model's work on its device, and quartiles of many such times.

Two models take turns at the same work, so that a slow phase of the machine affects both.

>>> from liar import load_model
>>> from liar.evaluate.timing.speed import fixed_tokens, quartiles, seconds_of_forward
>>> loaded = load_model("tiny")
>>> times = quartiles([seconds_of_forward(loaded, fixed_tokens(loaded, sequences=1, length=16)) for _ in range(5)])
>>> 0 < times.lower <= times.median <= times.upper
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache

from liar.data.packing import longest_sequence
from liar.models.decode import last_logits
from liar.report.costs import SpeedComparison
from liar.results import MeasuredVariant, Quartiles, Speed, SpeedGain, Workload
from liar.runtime.devices import execution_device

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

BATCH = 16
"""Texts that a model other than a language model reads at once for the work "batch"."""

PROMPT_TOKENS = 256
REPEATS = 7


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


# -- two models in turns ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amount:
    """Amount of work in one turn: ``sequences`` of ``tokens`` each."""

    sequences: int
    tokens: int


def prompt_length(loaded: LoadedModel, new_tokens: int = 0) -> int:
    """:data:`PROMPT_TOKENS`, or fewer if the model has no positions for them and ``new_tokens`` after them."""
    return max(min(PROMPT_TOKENS, longest_sequence(loaded) - new_tokens), 1)


def comparison_steps(
    dense: LoadedModel, pruned: LoadedModel, prompt_tokens: int, new_tokens: int, repeats: int
) -> Generator[tuple[int, int], None, list[SpeedComparison]]:
    """Yield (turns done, all turns); return the speed of both at each kind of work, see :func:`timed_turns`.

    A language model reads a prompt into its cache and continues it greedily for exactly ``new_tokens``; any other model
    reads one text of ``prompt_tokens``, then :data:`BATCH` of them at once.
    """
    amounts: dict[Workload, Amount] = (
        {"prompt": Amount(1, prompt_tokens), "decoding": Amount(1, new_tokens)}
        if dense.is_language_model
        else {"text": Amount(1, prompt_tokens), "batch": Amount(BATCH, prompt_tokens)}
    )
    taken = yield from timed_turns((dense, pruned), amounts, repeats)
    return [_comparison(work, amounts[work], *seconds) for work, seconds in taken.items()]


def reading_steps(
    models: Mapping[MeasuredVariant, LoadedModel],
) -> Generator[tuple[int, int], None, tuple[list[Speed], SpeedGain]]:
    """Yield (turns done, all turns); return the speeds of two ``models`` at one prompt or text, and the gain.

    This is only the first kind of work that :func:`comparison_steps` times.
    """
    loaded = list(models.values())
    work: Workload = "prompt" if loaded[0].is_language_model else "text"
    tokens = prompt_length(loaded[0])
    taken = (yield from timed_turns(loaded, {work: Amount(1, tokens)}, REPEATS))[work]
    speeds: list[Speed] = []
    for variant, seconds in zip(models, taken, strict=True):
        found = quartiles(seconds)
        spread = found.upper - found.lower
        speeds.append(Speed(variant=variant, seconds=found.median, spread=spread, tokens=tokens, repeats=REPEATS))
    than, variant = models
    gain = SpeedGain(variant=variant, than=than, work=work, tokens=tokens, repeats=REPEATS, gain=_gain(*taken))
    return speeds, gain


def timed_turns(
    models: Sequence[LoadedModel], amounts: Mapping[Workload, Amount], repeats: int
) -> Generator[tuple[int, int], None, dict[Workload, list[list[float]]]]:
    """Yield (turns done, all turns) while the models alternate, each for ``repeats`` turns (at least two).

    Returns the seconds of each turn, by kind of work and model. A first turn of each model, to warm up, is left out.
    """
    taken: dict[Workload, list[list[float]]] = {work: [[] for _ in models] for work in amounts}
    total = len(models) * (repeats + 1)
    for turn in range(total):
        number = turn % len(models)
        for work, seconds in _turn(models[number], amounts).items():
            if turn >= len(models):
                taken[work][number].append(seconds)
        yield turn + 1, total
    return taken


def _turn(loaded: LoadedModel, amounts: Mapping[Workload, Amount]) -> dict[Workload, float]:
    """Seconds of one turn of a model, by kind of work."""
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
    seconds: dict[Workload, float] = {"prompt": reading}
    if "decoding" in amounts:
        seconds["decoding"] = seconds_of(write, prompt.device)
    return seconds


def _comparison(work: Workload, amount: Amount, dense: list[float], pruned: list[float]) -> SpeedComparison:
    tokens = amount.sequences * amount.tokens
    return SpeedComparison(
        work=work,
        sequences=amount.sequences,
        tokens=amount.tokens,
        dense=quartiles([tokens / seconds for seconds in dense]),
        pruned=quartiles([tokens / seconds for seconds in pruned]),
        gain=_gain(dense, pruned),
    )


def _gain(first: Sequence[float], second: Sequence[float]) -> Quartiles:
    """Quartiles over turns of how many times as fast the second was as the first."""
    return quartiles([before / after for before, after in zip(first, second, strict=True)])
