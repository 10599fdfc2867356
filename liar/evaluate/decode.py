"""The next tokens of a language model, which reads every token once and keeps its keys and values."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from liar.models.adapter import execution_device


def new_tokens(
    model: PreTrainedModel, prompt_tokens: Tensor, count: int, temperature: float, seed: int
) -> Iterator[int]:
    """At most ``count`` tokens after ``prompt_tokens`` (1, length); a token that ends the answer is left out."""
    device = execution_device(model)
    ends = _end_tokens(model)
    generator = torch.Generator().manual_seed(seed)
    cache = DynamicCache(config=model.config)
    unread = prompt_tokens.to(device)
    for _ in range(count):
        token = _choose(last_logits(model, unread, cache), temperature, generator)
        if token in ends:
            return
        yield token
        unread = torch.tensor([[token]], device=device)


@torch.no_grad()
def last_logits(model: PreTrainedModel, unread: Tensor, cache: Cache) -> Tensor:
    """Read ``unread`` (1, length) into ``cache``; the logits (vocabulary,) of the token that follows."""
    # The cache goes by position, because transformers 5 renames the argument on the way.
    logits: Tensor = model(unread, None, None, cache, use_cache=True, logits_to_keep=1).logits[0, -1]
    return logits


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    wide = logits.cpu().double()  # in this order: an MPS device has no fp64
    above = (wide - wide.max()) / temperature  # at most 0: no temperature overflows
    return int(torch.multinomial(above.softmax(dim=0), 1, generator=generator))


def _end_tokens(model: PreTrainedModel) -> frozenset[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])
