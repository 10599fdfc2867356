"""MPNet: BERT's blocks, whose attentions add one position bias that all layers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Producer
from liar.models.families.bert import BertAdapter
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind, Targets


class MPNetAdapter(BertAdapter):
    family: ClassVar[str] = "mpnet"
    model_types: ClassVar[tuple[str, ...]] = types_of("mpnet")
    prunable: ClassVar[Targets] = "ffn"
    why_no_heads: ClassVar[str] = "all layers add the same position bias, which has a row for each head"
    gives_tuple: ClassVar[bool] = True

    def site(self, layer: int, kind: SiteKind) -> Site:
        if kind == "ffn":
            return super().site(layer, kind)
        attention = self.block(layer).attention.attn
        return Site(layer, "attention", attention.num_attention_heads, attention.attention_head_size)

    def consumer(self, site: Site) -> nn.Linear:
        return (
            super().consumer(site) if site.kind == "ffn" else cast(nn.Linear, self.block(site.layer).attention.attn.o)
        )

    def producers(self, site: Site) -> list[Producer]:
        if site.kind == "ffn":
            return super().producers(site)
        attention = self.block(site.layer).attention.attn
        return [Producer(linear, site.unit_size) for linear in (attention.q, attention.k, attention.v)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        if site.kind == "ffn":
            return super().consumer_input(site, hidden, context)
        attention = self.block(site.layer).attention.attn
        with bypassed(attention, "o"):
            return cast(Tensor, attention(hidden, context["attention_mask"], context["position_bias"])[0])

    def _output(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.output if site.kind == "ffn" else block.attention
