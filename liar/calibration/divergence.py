"""What a model loses if a run of blocks goes and a patch replaces it: how far its output moves, on text that no patch has read.

The error of a patch behind its run says little of what later blocks make of it: the run with the least error is often not
the one that costs least (``benchmarks/layer_choice.py``).

The runs share one forward: each follows the dense model up to its patch, and goes its own way from there.

>>> import torch
>>> from liar import load_model
>>> from liar.calibration.divergence import Cut, divergence_steps
>>> from liar.maths.reconstruct import Solution
>>> from liar.progress import finish
>>> batch = {"input_ids": torch.arange(32).view(2, 16), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
>>> adapter = load_model("tiny").adapter
>>> unpatched = Solution(torch.zeros(48, 32), torch.zeros(32))
>>> [nats > 0 for nats in finish(divergence_steps(adapter, [batch], [Cut(range(1, 2), unpatched)]))]
[True]
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from liar.calibration.activations import evaluating
from liar.calibration.block_statistics import advance
from liar.maths.reconstruct import Solution
from liar.models.adapter import Adapter, Stream
from liar.models.recorder import Recorder, replaced
from liar.runtime.devices import Batch, fast_products
from liar.runtime.distributed import shares, summed
from liar.runtime.offload import resident

DIVERGENCE_TOKENS = 4096
"""Tokens that suffice to compare runs."""


@dataclass(frozen=True)
class Cut:
    """The run of blocks that is ``removed``, and the ``change`` of weight (d, width) and bias (width) by which the consumer
    before it replaces the run.
    """

    removed: range
    change: Solution


def changed(patch: Solution, weight: Tensor) -> Solution:
    """The change of a :class:`Cut` by a ``patch`` of a consumer of ``weight`` (d, width), in the precision of the consumer."""
    return Solution((patch.weight - weight).to(weight.dtype), patch.bias_change.to(weight.dtype))


@torch.no_grad()
def divergence_steps(
    adapter: Adapter, batches: Sequence[Batch], cuts: Sequence[Cut]
) -> Generator[tuple[int, int], None, list[float]]:
    """For each of ``cuts`` the mean over tokens, or texts, of KL(dense || cut), in nats, of what the head predicts; of a model
    without such a head E[|y' - y|^2 / |y|^2] of the residual stream behind its last block.

    Yields done and total steps. Products are fast ones, see :mod:`liar.runtime.devices`.
    """
    model, alone = adapter.model, shares([row for batch in batches for row in _rows(batch)])
    with evaluating(model):
        dense = [adapter.embed(batch) for batch in alone]
        total = len(adapter.layers) + len(alone)
        ways: dict[range, list[Stream]] = {}
        for layer, block in enumerate(adapter.layers):
            with resident(block), fast_products(model):
                for removed, streams in ways.items():
                    if layer not in removed:
                        for stream in streams:
                            advance(adapter, layer, stream)
                read = [advance(adapter, layer, stream) for stream in dense]
            for cut in cuts:
                if cut.removed.start == layer + 1:
                    pairs = zip(dense, read, strict=True)
                    ways[cut.removed] = [_patched(adapter, stream, rows, cut.change) for stream, rows in pairs]
            yield layer + 1, total
        sums = torch.zeros(len(cuts) + 1, dtype=torch.float64)
        for place, batch in enumerate(alone):
            with fast_products(model):
                predicted = _predicted(adapter, batch, dense[place])
                for row, cut in enumerate(cuts):
                    found = _distances(adapter, batch, dense[place], ways[cut.removed][place], predicted)
                    sums[row] += float(found.sum())
            sums[-1] += found.numel()
            yield len(adapter.layers) + place + 1, total
    *nats, answers = summed(sums).tolist()
    return [each / answers for each in nats]


def _rows(batch: Batch) -> list[Batch]:
    """The sequences one by one, without padding: outputs of a whole batch, over a vocabulary, would be large."""
    real = batch["attention_mask"].bool()
    return [
        {name: tensor[row : row + 1, real[row]] for name, tensor in batch.items() if tensor.shape == real.shape}
        for row in range(len(real))
    ]


def _patched(adapter: Adapter, stream: Stream, rows: Tensor, change: Solution) -> Stream:
    weight, bias = (part.to(rows.device, rows.dtype) for part in (change.weight, change.bias_change))
    return replace(stream, hidden=stream.hidden + adapter.multiplier * stream.padded(rows @ weight + bias))


def _distances(adapter: Adapter, batch: Batch, dense: Stream, cut: Stream, predicted: Tensor | None) -> Tensor:
    """One for each token, or for each text that a head answers; what is ``predicted`` of the dense stream."""
    changed = None if predicted is None else _predicted(adapter, batch, cut)
    if predicted is None or changed is None:
        y = dense.hidden.float()
        return (cut.hidden.float() - y).square().sum(dim=-1) / y.square().sum(dim=-1)
    return (predicted.exp() * (predicted - changed)).sum(dim=-1)


def _predicted(adapter: Adapter, batch: Batch, stream: Stream) -> Tensor | None:
    """Log probabilities of the head by a residual stream behind the last block; None of a head without probabilities."""
    hidden = stream.hidden
    last = [Recorder(layer, adapter.gives_tuple, gives=hidden) for layer in adapter.layers]
    path, _, name = adapter.layers_path.rpartition(".")
    inputs = {name: tensor.to(hidden.device) for name, tensor in batch.items()}
    with replaced(adapter.base.get_submodule(path), name, nn.ModuleList(last)):
        output: Any = adapter.model(**inputs, use_cache=False)
    logits: Tensor | None = output.get("logits")
    return None if logits is None or logits.shape[-1] == 1 else logits.float().log_softmax(dim=-1)
