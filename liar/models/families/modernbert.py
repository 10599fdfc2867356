"""ModernBERT: pre-norm blocks, with queries, keys and values in one matrix, and both halves of the gated FFN in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Adapter, Producer
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind


class ModernBertAdapter(Adapter):
    family: ClassVar[str] = "modernbert"
    model_types: ClassVar[tuple[str, ...]] = types_of("modernbert")
    layers_path: ClassVar[str] = "layers"
    loses_blocks: ClassVar[bool] = True

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.mlp.Wo.in_features)
        size = block.attn.head_dim
        return Site(layer, "attention", block.attn.Wo.in_features // size, size)

    def consumer(self, site: Site) -> nn.Linear:
        return cast(nn.Linear, self._half(site).Wo)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        fused, parts = (block.mlp.Wi, 2) if site.kind == "ffn" else (block.attn.Wqkv, 3)
        return [Producer(fused, site.bundle_size, part * site.channels) for part in range(parts)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block, half = self.block(site.layer), self._half(site)
        with bypassed(half, "Wo"):
            if site.kind == "ffn":
                return cast(Tensor, half(block.mlp_norm(hidden)))
            return cast(Tensor, half(block.attn_norm(hidden), **context)[0])

    def _half(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.mlp if site.kind == "ffn" else block.attn
