"""Decoding of a language model with a cache of keys and values, so that every token is read once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from liar.runtime.devices import execution_device


def new_tokens(
    model: PreTrainedModel, prompt_tokens: Tensor, count: int, temperature: float, seed: int
) -> Iterator[int]:
    """At most ``count`` tokens after ``prompt_tokens`` (1, length), up to an end token, which is left out."""
    device = execution_device(model)
    end = getattr(model.generation_config, "eos_token_id", None)
    ends = end if isinstance(end, list) else [end]
    generator = torch.Generator().manual_seed(seed)
    cache = DynamicCache(config=model.config)
    unread = prompt_tokens.to(device)
    for _ in range(count):
        token = _choose(last_logits(model, unread, cache)[0], temperature, generator)
        if token in ends:
            return
        yield token
        unread = torch.tensor([[token]], device=device)


@torch.no_grad()
def last_logits(model: PreTrainedModel, unread: Tensor, cache: Cache) -> Tensor:
    """Read ``unread`` (texts, length) into ``cache``; return the logits (texts, vocabulary) of the next tokens."""
    # The cache is a positional argument, because transformers 5 renames it from one release to another.
    logits: Tensor = model(unread, None, None, cache, use_cache=True, logits_to_keep=1).logits[:, -1]
    return logits


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    wide = logits.cpu().double()  # first to the CPU: an MPS device has no fp64
    above = (wide - wide.max()) / temperature  # at most 0, so no temperature overflows
    return int(torch.multinomial(above.softmax(dim=0), 1, generator=generator))
