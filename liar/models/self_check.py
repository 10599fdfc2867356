"""Whether an adapter runs a model as the model runs itself: its walk over the blocks against the model's own forward.

The algorithms run a model block by block, in halves. A family whose blocks do something that its adapter does not know, such as
a scaled residual, would be pruned and repaired for another model than the one that is saved.

>>> from liar import load_model
>>> from liar.models.self_check import largest_difference
>>> largest_difference(load_model("tiny").adapter) < 1e-6
True
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from liar.errors import UnsupportedModelError
from liar.models.adapter import Adapter
from liar.runtime.devices import Batch, without_labels
from liar.runtime.offload import resident

TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-4}
"""Largest relative difference of the hidden states behind a block, by the number format of the weights."""

_COARSE = 0.02
"""The same of formats with fewer bits, in which sums in another order differ."""

_SEQUENCES, _LENGTH, _PADDED = 2, 12, 4


def check_walk(adapter: Adapter) -> None:
    """Raise :class:`UnsupportedModelError` if the walk differs from the model's own forward, with or without padding."""
    tolerance = TOLERANCES.get(next(adapter.model.parameters()).dtype, _COARSE)
    for padded in (0, _PADDED):
        for layer, difference in enumerate(differences(adapter, padded)):
            if not difference <= tolerance:
                raise UnsupportedModelError(
                    f"Behind layer {layer} this model of type {adapter.config.model_type!r} differs from what its blocks, run "
                    f"as those of a {adapter.family}, give: by {difference:.2g} of its hidden states, where {tolerance:g} is "
                    "rounding. It needs a family of its own: docs/extending.md."
                )


def largest_difference(adapter: Adapter) -> float:
    """The largest of :func:`differences`, with and without padding."""
    return max(difference for padded in (0, _PADDED) for difference in differences(adapter, padded))


@torch.no_grad()
def differences(adapter: Adapter, padded: int) -> list[float]:
    """Norm of the difference between walk and forward behind each block, as a share of that of the forward, at the real tokens.

    Two sequences of random tokens, of which the second ends in ``padded`` tokens of padding.
    """
    batch = _batch(adapter, padded)
    with _recorded(adapter) as outputs:
        adapter.base(**without_labels(batch), use_cache=False)
    stream = adapter.embed(batch)
    found = []
    for layer, own in enumerate(outputs):
        with resident(adapter.layers[layer]):
            for site in adapter.halves(layer):
                adapter.advance(site, stream)
        ours, theirs = stream.real(stream.hidden).double(), stream.real(own).double()
        found.append(float((ours - theirs).norm() / theirs.norm()))
    return found


def _batch(adapter: Adapter, padded: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    embeddings = adapter.model.get_input_embeddings()
    size = (_SEQUENCES, _LENGTH)
    # the first ids are special tokens in most vocabularies, and some models place a text by its padding id
    ids = torch.randint(min(10, embeddings.num_embeddings - 1), embeddings.num_embeddings, size, generator=generator)
    mask = torch.ones(size, dtype=torch.long)
    if padded:
        mask[1, -padded:] = 0
        ids[1, -padded:] = adapter.config.pad_token_id or 0
    device = embeddings.weight.device
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


@contextmanager
def _recorded(adapter: Adapter) -> Iterator[list[Tensor]]:
    """The hidden states behind each block, in the order of the blocks, of a forward inside the context."""
    outputs: list[Tensor] = []

    def record(_module: nn.Module, _arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for block in adapter.layers:
            stack.callback(block.register_forward_hook(record).remove)
        yield outputs
