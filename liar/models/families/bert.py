"""BERT and RoBERTa: post-norm blocks, plain FFN, one key/value head for each query head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Adapter, Producer
from liar.models.heads import head_of
from liar.sites import Site
from liar.spec import SiteKind


class BertAdapter(Adapter):
    family: ClassVar[str] = "bert"
    model_types: ClassVar[tuple[str, ...]] = ("bert", "roberta")
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

    def first_token_linears(self) -> list[nn.Linear]:
        if head_of([type(self.model).__name__]) not in ("none", "sequence-classification"):
            return []
        modules = cast(nn.Module, self.model).named_modules()
        heads = [module for name, module in modules if {"pooler", "classifier"}.intersection(name.split("."))]
        return [module for module in heads if isinstance(module, nn.Linear)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return cast(Tensor, block.intermediate(hidden))
        return cast(Tensor, block.attention.self(hidden, attention_mask=context["attention_mask"])[0])

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        stream = hidden + output
        return stream, cast(Tensor, self._output(site).LayerNorm(stream))

    def after_surgery(self, sites: list[Site]) -> None:
        widths = {block.output.dense.in_features for block in map(self.block, range(len(self.layers)))}
        if len(widths) == 1:
            self.config.intermediate_size = widths.pop()

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "attention":
            attention = self.block(site.layer).attention.self
            attention.num_attention_heads = len(bundles)
            attention.all_head_size = len(bundles) * site.unit_size

    def _output(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.output if site.kind == "ffn" else block.attention.output
