"""A model as one graph with named inputs and outputs, the form that ONNX and OpenVINO take.

An embedder has its pooled and normalised vector as ``sentence_embedding`` beside ``last_hidden_state``. A language model takes
the keys and values of earlier tokens and returns them grown, under the names of Optimum and transformers.js; with none of
them (length 0) it reads a prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from liar.export.parity import Answer, Feed, Run, feeds, texts_for
from liar.models.heads import Head
from liar.models.loaded import LoadedModel

_OUTPUTS: Mapping[Head, tuple[str, ...]] = {
    "question-answering": ("start_logits", "end_logits"),
    "none": ("last_hidden_state", "sentence_embedding"),
}
_TEXTS, _LENGTH = "batch_size", "sequence_length"
"""Names of axes; transformers.js makes an empty cache of their lengths."""
_PAST = "past_key_values"
_PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Graph:
    """What ``torch.onnx.export`` takes: a module, example ``inputs``, its flat names, and the axes that may vary by name."""

    module: nn.Module
    inputs: Mapping[str, Any]
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Any]


class _Encoder(nn.Module):
    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.model, self.embedder = loaded.model, loaded.embedder
        self.outputs = _OUTPUTS.get(loaded.head, ("logits",))
        self.dense = loaded.embedder.dense if loaded.embedder is not None else None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        answer = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        if self.embedder is None:
            return tuple(answer[name] for name in self.outputs)
        states = answer[0]
        return states, self.embedder.vectors(states, attention_mask)


class _Decoder(nn.Module):
    """A language model; ``past`` are the keys and values of its layers, (texts, heads, earlier tokens, channels) each."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.model = loaded.model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        past_key_values: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, ...]:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        if past_key_values is None:
            return (self.model(**inputs, use_cache=False).logits,)
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(past_key_values):
            cache.update(keys, values, layer)
        answer = self.model(**inputs, past_key_values=cache, use_cache=True)
        return (answer.logits, *(each for layer in cache.layers for each in (layer.keys, layer.values)))


def graph_of(loaded: LoadedModel, *, cache: bool) -> Graph:
    """The graph of ``loaded``; a language model's has a ``cache`` or reads whole texts alone."""
    feed = dict(next(feeds(loaded, texts_for(loaded, 2), 2)))
    text = {name: {0: _TEXTS, 1: _LENGTH} for name in feed}
    if not loaded.is_language_model:
        outputs = _OUTPUTS.get(loaded.head, ("logits",))
        return Graph(_Encoder(loaded), feed, tuple(feed), outputs, text)
    if not cache:
        return Graph(_Decoder(loaded), feed, tuple(feed), ("logits",), text)
    with torch.no_grad():
        layers = loaded.model(**feed, use_cache=True).past_key_values.layers
    earlier = feed["input_ids"].shape[1]
    feed["attention_mask"] = torch.ones(len(feed["input_ids"]), 2 * earlier, dtype=torch.long)
    text["attention_mask"] = {0: _TEXTS, 1: "total_sequence_length"}
    if "position_ids" in inspect.signature(loaded.model.forward).parameters:
        feed["position_ids"] = torch.arange(earlier, 2 * earlier).expand(len(feed["input_ids"]), -1).contiguous()
        text["position_ids"] = {0: _TEXTS, 1: _LENGTH}
    flat = [f"{layer}.{part}" for layer in range(len(layers)) for part in ("key", "value")]
    inputs = {**feed, _PAST: [(layer.keys.clone(), layer.values.clone()) for layer in layers]}
    axis = {0: _TEXTS, 2: "past_sequence_length"}
    return Graph(
        _Decoder(loaded),
        inputs,
        (*feed, *(f"{_PAST}.{name}" for name in flat)),
        ("logits", *(f"{_PRESENT}.{name}" for name in flat)),
        {**text, _PAST: [(axis, axis) for _ in layers]},
    )


@contextmanager
def plain_attention(loaded: LoadedModel) -> Iterator[None]:
    """Attention as products and a softmax. The masks of the fused one add comparisons that other runtimes do not fuse away: a
    half of MiniLM in int8 reads 231 texts a second instead of 189.
    """
    usual = loaded.model.config._attn_implementation
    loaded.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        loaded.model.set_attn_implementation(usual)


def torch_run(loaded: LoadedModel) -> Run:
    """What torch answers, under the names of the graph's outputs, without a cache."""
    if loaded.is_language_model:
        return lambda feed: {"logits": loaded.model(**feed, use_cache=False).logits}
    module = _Encoder(loaded)
    return lambda feed: dict(zip(module.outputs, module(**feed), strict=True))


def completed(feed: Feed, shapes: Mapping[str, tuple[int | str | None, ...]]) -> dict[str, Tensor]:
    """``feed`` with what else a graph with inputs of these ``shapes`` takes: positions, and keys and values of no token."""
    number, length = feed["input_ids"].shape
    full = dict(feed)
    if "position_ids" in shapes and "position_ids" not in full:
        full["position_ids"] = (feed["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)[:, -length:]
    for name, shape in shapes.items():
        if name.startswith(_PAST) and name not in full:
            full[name] = torch.zeros(number, int(str(shape[1])), 0, int(str(shape[3])))
    return {name: full[name] for name in shapes}


def continued(answer: Answer) -> dict[str, Tensor]:
    """The keys and values of an ``answer`` as inputs of the next one."""
    return {name.replace(_PRESENT, _PAST, 1): each for name, each in answer.items() if name.startswith(f"{_PRESENT}.")}
