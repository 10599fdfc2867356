"""Costs of a dense and a pruned model side by side: parameters, multiplications, bytes and time."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import cast

from torch import nn

from liar.data.packing import check_length
from liar.errors import InvalidSpecError
from liar.evaluate.timing.speed import REPEATS, comparison_steps, prompt_length
from liar.models.loaded import LoadedModel, bytes_in_memory, model_info
from liar.models.quantize import is_quantized
from liar.models.ragged import PREFIX
from liar.report.costs import Costs, CostsResult
from liar.runtime.environment import describe
from liar.runtime.offload import is_offloaded


def compare_steps(
    dense: LoadedModel,
    pruned: LoadedModel,
    *,
    prompt_tokens: int | None = None,
    new_tokens: int = 32,
    repeats: int = REPEATS,
    on_disk: tuple[int | None, int | None] = (None, None),
) -> Generator[tuple[int, int], None, CostsResult]:
    """Yield (turns done, all turns); return costs and speeds of both models.

    Speeds are those of :func:`liar.evaluate.timing.speed.comparison_steps`. ``prompt_tokens`` defaults to 256,
    or fewer if the model has fewer positions. ``on_disk``: bytes of the files of each model, None if unknown. Raises
    :class:`InvalidSpecError` at the first step for models of different kinds, a streamed model, fewer than one prompt
    token or new token, fewer than two repeats, and sequences longer than the model's positions.
    """
    _check_pair(dense, pruned)
    written = new_tokens if dense.is_language_model else 0
    if prompt_tokens is None:
        prompt_tokens = prompt_length(dense, written)
    if prompt_tokens < 1 or new_tokens < 1:
        raise InvalidSpecError(
            "There is nothing to time without tokens; take at least one prompt token and one new token."
        )
    if repeats < 2:
        raise InvalidSpecError(
            "One repeat has no spread, so no difference could be distinguished from chance; take at least 2."
        )
    check_length(prompt_tokens + written, dense)
    start = time.perf_counter()
    speeds = yield from comparison_steps(dense, pruned, prompt_tokens, new_tokens, repeats)
    return CostsResult(
        dense=costs_of(dense, prompt_tokens, on_disk[0]),
        pruned=costs_of(pruned, prompt_tokens, on_disk[1]),
        context=prompt_tokens,
        speeds=speeds,
        repeats=repeats,
        timings={"measure": time.perf_counter() - start},
        environment=describe(dense.model),
    )


def costs_of(loaded: LoadedModel, context: int, bytes_on_disk: int | None = None) -> Costs:
    """Costs of a model that are counted without running it."""
    modules = list(cast(nn.Module, loaded.model).modules())
    tables = {id(module.weight): module.weight.numel() for module in modules if isinstance(module, nn.Embedding)}
    return Costs(
        model=model_info(loaded),
        embedding_parameters=sum(tables.values()),
        macs_per_token=macs_per_token(loaded, context),
        bytes_in_memory=bytes_in_memory(loaded.model),
        bytes_on_disk=bytes_on_disk,
        rounded=is_quantized(loaded.model),
        widths=sorted({site.channels for site in loaded.adapter.layout()}),
    )


def macs_per_token(loaded: LoadedModel, context: int) -> int:
    """Multiply-accumulates of one token that attends to ``context`` tokens, itself included.

    One for each weight of every linear layer that reads the token (a language model's head too, tied or not; looking up
    an embedding multiplies nothing). In addition, for each query head and each attended token, 2 x ``head_dim``: one
    product for the score, one for the weighted values. Norms, activations and rotations are left out, as is usual. A
    classifier's head reads one token of a text, so its weights are divided by ``context``.
    """
    once = loaded.adapter.first_token_linears()
    all_linear = [module for module in cast(nn.Module, loaded.model).modules() if isinstance(module, nn.Linear)]
    each = sum(linear.weight.numel() for linear in all_linear if linear not in once)
    shared = sum(linear.weight.numel() for linear in once)
    in_sight = _tokens_in_sight(loaded, context)
    attention = sum(2 * site.channels * in_sight[site.layer] for site in loaded.adapter.layout("heads"))
    return round(each + attention + shared / context)


def _tokens_in_sight(loaded: LoadedModel, context: int) -> list[int]:
    """Number of tokens that each layer's attention reads, at most the width of a sliding window, or the width of its state."""
    if not loaded.is_language_model:
        return [context] * len(loaded.adapter.layers)
    states = [loaded.adapter.state_of(layer) for layer in range(len(loaded.windows))]
    return [state or min(context, window or context) for state, window in zip(states, loaded.windows, strict=True)]


def _check_pair(dense: LoadedModel, pruned: LoadedModel) -> None:
    """Raise :class:`InvalidSpecError` if a model is streamed, or if ``pruned`` cannot come from ``dense``."""
    for loaded in (dense, pruned):
        if is_offloaded(loaded.model):
            raise InvalidSpecError(
                f"{loaded.id} is streamed, so its disk or bus would be timed; take a device that holds both models."
            )
    kinds = [_kind(loaded) for loaded in (dense, pruned)]
    if kinds[0] != kinds[1]:
        raise InvalidSpecError(
            f"{dense.id} is a {kinds[0]}, {pruned.id} is a {kinds[1]}; name a model and what it was pruned to."
        )


def _kind(loaded: LoadedModel) -> str:
    config = loaded.model.config
    sort = "language model" if loaded.is_language_model else "encoder"
    return f"{str(config.model_type).removeprefix(PREFIX)} {sort} with {config.vocab_size:,} tokens"
