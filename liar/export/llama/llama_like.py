"""What computes as a LLaMA, by which sizes: the models that llama.cpp and vLLM take with layers of different widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from liar.errors import UnsupportedModelError
from liar.models.loaded import LoadedModel
from liar.models.skeleton import model_class
from liar.save import as_llama

_BASES = ("llama", *as_llama.TYPES)


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """Query heads, heads of keys and values, and neurons of a layer."""

    heads: int
    groups: int
    neurons: int


def check_family(loaded: LoadedModel, engine: str, otherwise: str) -> None:
    """Raise :class:`UnsupportedModelError`, which ends with ``otherwise``, unless the model computes as a LLaMA does, as the
    ``engine`` expects.
    """
    config = loaded.model.config
    base = model_class(loaded.model).config_class.model_type
    if not loaded.is_language_model:
        why = f"{engine} takes language models here"
    elif base not in _BASES:
        why = f"it is of type {base!r}, and {', '.join(_BASES)} compute as {engine} does"
    elif as_llama.has_window(config):
        why = "its attention has a sliding window"
    elif config.hidden_act != "silu":
        why = f"its activation is {config.hidden_act!r} and not silu"
    elif rope(config).get("rope_type", "default") not in ("default", "linear", "llama3"):
        why = f"its positions are scaled as {rope(config)['rope_type']!r}"
    else:
        return
    raise UnsupportedModelError(f"This model cannot be written for {engine}: {why}. {otherwise}")


def sizes(loaded: LoadedModel) -> list[LayerSizes]:
    """The sizes of every layer."""
    width = head_width(loaded.model.config)
    layers = [cast(Any, layer) for layer in loaded.adapter.layers]
    return [
        LayerSizes(
            layer.self_attn.q_proj.out_features // width,
            layer.self_attn.k_proj.out_features // width,
            layer.mlp.down_proj.in_features,
        )
        for layer in layers
    ]


def rope(config: Any) -> Mapping[str, Any]:
    """The rotary positions of a config."""
    return cast(Mapping[str, Any], config.rope_parameters)


def head_width(config: Any) -> int:
    """Channels of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
