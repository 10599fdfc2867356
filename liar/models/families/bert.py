"""BERT and the encoders with its modules: post-norm blocks, plain FFN, one key/value head for each query head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Adapter, Producer
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind


class BertAdapter(Adapter):
    family: ClassVar[str] = "bert"
    model_types: ClassVar[tuple[str, ...]] = types_of("bert")
    layers_path: ClassVar[str] = "encoder.layer"

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.output.dense.in_features)
        attention = block.attention.self
        return Site(layer, "attention", attention.num_attention_heads, attention.attention_head_size)

    def consumer(self, site: Site) -> nn.Linear:
        return cast(nn.Linear, self._output(site).dense)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.intermediate.dense, 1)]
        attention = block.attention.self
        return [Producer(linear, site.unit_size) for linear in (attention.query, attention.key, attention.value)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return cast(Tensor, block.intermediate(hidden))
        return cast(Tensor, block.attention.self(hidden, attention_mask=context["attention_mask"])[0])

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        stream = hidden + output
        return stream, cast(Tensor, self._output(site).LayerNorm(stream))

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "attention":
            attention = self.block(site.layer).attention.self
            attention.num_attention_heads = len(bundles)
            attention.all_head_size = len(bundles) * site.unit_size

    def _output(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.output if site.kind == "ffn" else block.attention.output
