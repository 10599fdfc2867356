"""Where a model computes, the batches that it takes there, and products in half precision.

Products in half precision are for what steers or is averaged, where the processor is fast at them. Gradients, the divergences
of candidates and the drift are means over many tokens that lose nothing by it. The moments that choose units and repair, and
every solve, stay in the precision of the model, or above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""Tokenised inputs on any device: ``input_ids`` and ``attention_mask``, both (sequences, length), and perhaps labels.

Labels, all (sequences,), are ``labels`` of classifiers, or ``start_positions`` and ``end_positions`` of answers.
"""

_LABELS = frozenset({"labels", "start_positions", "end_positions"})


def without_labels(batch: Batch) -> dict[str, Tensor]:
    """The arguments of the model in a batch."""
    return {name: tensor for name, tensor in batch.items() if name not in _LABELS}


def execution_device(model: nn.Module) -> torch.device:
    """Device on which the model computes; for an offloaded model not the one that stores its weights."""
    return next(_of_hooks(model), None) or next(model.parameters()).device


def devices_of(model: nn.Module) -> set[torch.device]:
    """Every device of a weight or a hook; meta weights are moved to their hook's device when used."""
    found = {*_of_hooks(model)}
    found |= {parameter.device for parameter in model.parameters() if parameter.device.type != "meta"}
    current = {device.type: device for device in found if device.index is not None}  # "cuda" is taken as one of them
    return {device if device.index is not None else current.get(device.type, device) for device in found}


def _of_hooks(model: nn.Module) -> Iterator[torch.device]:
    """The execution devices of the hooks of accelerate."""
    for module in model.modules():
        if (device := getattr(getattr(module, "_hf_hook", None), "execution_device", None)) is not None:
            yield torch.device(device)


def fast_products(model: nn.Module) -> AbstractContextManager[object]:
    """A context in which an fp32 ``model`` on a CPU with instructions for bf16 multiplies in bf16; no effect on any other."""
    parameter = next(model.parameters())
    fast = parameter.dtype == torch.float32 and execution_device(model).type == "cpu" and has_fast_half()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast)


@cache
def has_fast_half() -> bool:
    """Whether this CPU has instructions for products in bf16, which take less than half of the time of fp32."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
