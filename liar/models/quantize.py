"""Int8 copies of a model, to test whether a repair fitted in full precision survives quantization.

Every linear layer of the blocks has int8 weights and one scale for each output channel; activations, products and sums
stay in the model's dtype, so any width works and the same code runs on CPU and CUDA. As in transformers, the rest is
not quantized: embeddings (looked up, not multiplied, and often shared with the head), norms and biases (a thousandth of
the weights), and the head (its errors are errors of the logits).

*Measured* on SmolLM2, 128 tokens, two cores: 184 ms in fp32, 217 with int8 weights, which are cast for every product;
compiled by torch, which takes one to three minutes, 175 and 169. With activations in int8 too: 247 ms (compiled 104),
and perplexity 17.48 grows to 17.91 (with weights alone to 17.50); the CUDA kernels need widths that are multiples of 8.

>>> from liar import load_model
>>> from liar.models.loaded import bytes_in_memory
>>> from liar.models.quantize import quantized
>>> loaded = load_model("tiny")
>>> bytes_in_memory(quantized(loaded).model) < bytes_in_memory(loaded.model)
True
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from liar.errors import InsufficientMemoryError, InvalidSpecError
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.runtime.offload import is_offloaded
from liar.runtime.placement import free_bytes

_WORKING_COPIES = 3
"""Temporary fp32 tensors of a layer's size that quantizing its weights takes."""


def quantized(loaded: LoadedModel) -> LoadedModel:
    """An int8 copy of ``loaded``, which is not changed; it shares all other tensors, so it costs one byte a weight.

    Weight w of row i becomes s_i * clamp(round(w / s_i), -128, 127) with s_i = max_j |W_ij| / 127.5 (at least 1.2e-7);
    its error is at most half a step s_i. ``save_pretrained`` writes the copy in a form that transformers loads if
    torchao is installed. Raises the errors of :func:`check_quantizable`.
    """
    check_quantizable(loaded)
    from torchao.quantization import Int8WeightOnlyConfig, quantize_
    from transformers import TorchAoConfig
    from transformers.quantizers.auto import AutoHfQuantizer

    shared = {id(tensor): tensor for tensor in [*loaded.model.parameters(), *loaded.model.buffers()]}
    model: Any = copy.deepcopy(loaded.model, shared)
    adapter = adapt(model)
    # Nothing is compiled here, and the compiler's settings are global to the process.
    int8 = Int8WeightOnlyConfig(set_inductor_config=False)
    quantize_(adapter.layers, int8)
    inside = set(_linears(adapter))
    left = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module not in inside]
    model.config.quantization_config = TorchAoConfig(int8, modules_to_not_convert=left)
    model.hf_quantizer = AutoHfQuantizer.from_config(model.config.quantization_config)
    return dataclasses.replace(loaded, model=model, adapter=adapter)


def check_quantizable(loaded: LoadedModel) -> None:
    """Raise :class:`InvalidSpecError` for a streamed model, :class:`InsufficientMemoryError` if a copy does not fit."""
    if is_offloaded(loaded.model):
        raise InvalidSpecError(
            "A streamed model cannot be quantised; take a device that holds it, or leave its weights as they are."
        )
    linears = _linears(loaded.adapter)
    if any(type(linear) is not nn.Linear for linear in linears):
        raise InvalidSpecError(
            f"{loaded.adapter.title} keeps its weights in layers of another kind, so that no loader would read them "
            "quantised; leave its weights as they are."
        )
    sizes = [linear.weight.numel() for linear in linears]
    needed = sum(sizes) + _WORKING_COPIES * 4 * max(sizes)
    free = free_bytes(next(loaded.model.parameters()).device)
    if needed > free:
        raise InsufficientMemoryError(
            f"An int8 copy needs {needed / 1e9:.1f} GB of memory beside the model and {free / 1e9:.1f} GB are free; choose a "
            "smaller model, or leave its weights as they are."
        )


def is_quantized(model: PreTrainedModel) -> bool:
    """Whether the model has quantized weights, from :func:`quantized` or from its checkpoint."""
    return getattr(model.config, "quantization_config", None) is not None


def _linears(adapter: Adapter) -> list[nn.Linear]:
    return [module for module in adapter.layers.modules() if isinstance(module, nn.Linear)]
