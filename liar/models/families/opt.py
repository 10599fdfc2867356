"""OPT: pre-norm blocks (post-norm in the 350M model) with a plain FFN, without a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from liar.models.adapter import Adapter, Producer
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind


class OptAdapter(Adapter):
    family: ClassVar[str] = "opt"
    model_types: ClassVar[tuple[str, ...]] = types_of("opt")
    layers_path: ClassVar[str] = "decoder.layers"
    width_field: ClassVar[str] = "ffn_dim"

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self.loses_blocks = bool(model.config.do_layer_norm_before)  # type: ignore[misc]  # a fact of the model here

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.fc2.in_features)
        return Site(layer, "attention", block.self_attn.num_heads, block.self_attn.head_dim)

    def consumer(self, site: Site) -> nn.Linear:
        block = self.block(site.layer)
        return cast(nn.Linear, block.fc2 if site.kind == "ffn" else block.self_attn.out_proj)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.fc1, 1)]
        attention = block.self_attn
        return [Producer(linear, site.unit_size) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block = self.block(site.layer)
        if self.loses_blocks:
            hidden = self._norm(site)(hidden)
        if site.kind == "ffn":
            return cast(Tensor, block.activation_fn(block.fc1(hidden)))
        with bypassed(block.self_attn, "out_proj"):
            return cast(Tensor, block.self_attn(hidden_states=hidden, **context)[0])

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        stream = hidden + output
        return stream, stream if self.loses_blocks else self._norm(site)(stream)

    def last_norm(self) -> nn.Module | None:
        return self.scaling(self.base.get_submodule("decoder").final_layer_norm)

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "attention":
            attention = self.block(site.layer).self_attn
            attention.num_heads, attention.embed_dim = len(bundles), len(bundles) * site.unit_size

    def _norm(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.final_layer_norm if site.kind == "ffn" else block.self_attn_layer_norm
