"""DistilBERT: BERT's blocks under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Adapter, Producer
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind


class DistilBertAdapter(Adapter):
    family: ClassVar[str] = "distilbert"
    model_types: ClassVar[tuple[str, ...]] = types_of("distilbert")
    layers_path: ClassVar[str] = "transformer.layer"
    width_field: ClassVar[str] = "hidden_dim"

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.ffn.lin2.in_features)
        size = block.attention.attention_head_size
        return Site(layer, "attention", block.attention.out_lin.in_features // size, size)

    def consumer(self, site: Site) -> nn.Linear:
        block = self.block(site.layer)
        return cast(nn.Linear, block.ffn.lin2 if site.kind == "ffn" else block.attention.out_lin)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.ffn.lin1, 1)]
        attention = block.attention
        return [Producer(linear, site.unit_size) for linear in (attention.q_lin, attention.k_lin, attention.v_lin)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return cast(Tensor, block.ffn.activation(block.ffn.lin1(hidden)))
        with bypassed(block.attention, "out_lin"):
            return cast(Tensor, block.attention(hidden, attention_mask=context["attention_mask"])[0])

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        block, stream = self.block(site.layer), output + hidden
        norm = block.output_layer_norm if site.kind == "ffn" else block.sa_layer_norm
        return stream, cast(Tensor, norm(stream))

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "attention":
            attention = self.block(site.layer).attention
            attention.n_heads, attention.dim = len(bundles), len(bundles) * site.unit_size
