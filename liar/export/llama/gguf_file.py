"""GGUF, the format of llama.cpp and Ollama.

Equal layers are written as the architecture ``llama``. Layers of different widths are ``deci``, which llama.cpp has for
NVIDIA's pruned models: the same network with its own number of heads and neurons for each layer, and a bias where one stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from liar.errors import UnsupportedModelError
from liar.export.llama.gguf_vocabulary import vocabulary_of
from liar.export.llama.llama_like import check_family, head_width, rope, sizes
from liar.models.loaded import LoadedModel
from liar.report.exported import Weights

TYPES: Mapping[Weights, str] = {"fp32": "f32", "fp16": "f16", "int8": "q8_0"}
"""llama.cpp's names of the number formats."""

_FILE_TYPES: Mapping[Weights, gguf.LlamaFileType] = {
    "fp32": gguf.LlamaFileType.ALL_F32,
    "fp16": gguf.LlamaFileType.MOSTLY_F16,
    "int8": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_BLOCK = 32
"""Weights of a row that q8_0 rounds together."""

_OTHERWISE = "Export it to onnx or openvino, or convert a stock folder by llama.cpp's own convert_hf_to_gguf.py."


def architecture_of(loaded: LoadedModel) -> str:
    """``llama`` if all layers have the same sizes, else ``deci``."""
    return "llama" if len(set(sizes(loaded))) == 1 else "deci"


def write_gguf(loaded: LoadedModel, path: Path, weights: Weights, name: str) -> list[str]:
    """Write weights, sizes and tokenizer to ``path``; return the names of weights that the number format cannot take, which
    are written in fp16. Raises :class:`UnsupportedModelError`.
    """
    check_family(loaded, "llama.cpp", _OTHERWISE)
    config = loaded.model.config
    vocabulary = vocabulary_of(loaded.tokenizer, config.vocab_size)
    architecture = architecture_of(loaded)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[weights])
    _add_sizes(writer, loaded, architecture)
    vocabulary.add_to(writer, loaded.tokenizer)
    left: list[str] = []
    for called, tensor in _tensors(loaded, architecture):
        values = tensor.detach().float().contiguous().numpy()
        kind = _kind(values, weights)
        if kind == gguf.GGMLQuantizationType.F16 and weights == "int8":
            left.append(called)
        writer.add_tensor(called, _rounded(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return left


def _add_sizes(writer: gguf.GGUFWriter, loaded: LoadedModel, architecture: str) -> None:
    config = loaded.model.config
    layers = sizes(loaded)
    width = head_width(config)

    def number(of: Sequence[int]) -> Any:
        return of[0] if architecture == "llama" else list(of)

    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(len(layers))
    writer.add_feed_forward_length(number([layer.neurons for layer in layers]))
    writer.add_head_count(number([layer.heads for layer in layers]))
    writer.add_head_count_kv(number([layer.groups for layer in layers]))
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    positions = rope(config)
    writer.add_rope_freq_base(float(positions["rope_theta"]))
    if positions.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(positions["factor"]))


def _tensors(loaded: LoadedModel, architecture: str) -> Iterator[tuple[str, Tensor]]:
    """The weights by the names of llama.cpp; a tied output layer is left out, as it is read from the embedding."""
    config, layers = loaded.model.config, len(loaded.adapter.layers)
    kind = gguf.MODEL_ARCH.LLAMA if architecture == "llama" else gguf.MODEL_ARCH.DECI
    names = gguf.get_tensor_name_map(kind, layers)
    width = head_width(config)
    factors = _rope_factors(config, width)
    if factors is not None:
        yield "rope_freqs.weight", factors
    seen: set[int] = set()
    for name, tensor in cast(nn.Module, loaded.model).state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        called = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if called is None:
            raise UnsupportedModelError(
                f"llama.cpp has no name for {name!r} of this model; export it to onnx or openvino instead."
            )
        turned = ".q_proj." in name or ".k_proj." in name
        yield called, _neighbours(tensor, width) if turned else tensor


def _neighbours(tensor: Tensor, width: int) -> Tensor:
    """Reorder rotary pairs: transformers rotates channel i with i + width/2, llama.cpp 2i with 2i + 1."""
    return tensor.view(-1, 2, width // 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _kind(values: NDArray[np.float32], weights: Weights) -> gguf.GGMLQuantizationType:
    if values.ndim == 1 or weights == "fp32":
        return gguf.GGMLQuantizationType.F32
    if weights == "fp16" or values.shape[-1] % _BLOCK:
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType.Q8_0


def _rounded(values: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> NDArray[Any]:
    return gguf.quants.quantize(values, kind)


def _rope_factors(config: Any, width: int) -> Tensor | None:
    """What Llama 3 divides the frequency of each rotary pair by, (width / 2,); None for other models."""
    if rope(config).get("rope_type") != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 1 / float(rope(config)["rope_theta"]) ** (torch.arange(0, width, 2) / width)
    return plain / scaled
