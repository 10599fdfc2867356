"""Qwen 3.5: a LLaMA whose attentions are gated or linear (gated delta rule), so that only its neurons can go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Producer
from liar.models.families.llama import LlamaAdapter
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind, Targets


class Qwen35Adapter(LlamaAdapter):
    family: ClassVar[str] = "qwen3_5"
    model_types: ClassVar[tuple[str, ...]] = types_of("qwen3_5")
    prunable: ClassVar[Targets] = "ffn"
    why_no_heads: ClassVar[str] = "those of its linear attentions share a convolution and a recurrent state"
    loses_blocks: ClassVar[bool] = False
    why_no_blocks: ClassVar[str] = "its layers take turns in two kinds of attention, and its cache needs both"

    def site(self, layer: int, kind: SiteKind) -> Site:
        if kind == "ffn" or not self._is_linear(layer):
            return super().site(layer, kind)
        mixer = self.block(layer).linear_attn
        return Site(layer, "attention", mixer.num_v_heads, mixer.head_v_dim)

    def consumer(self, site: Site) -> nn.Linear:
        if site.kind == "ffn" or not self._is_linear(site.layer):
            return super().consumer(site)
        return cast(nn.Linear, self.block(site.layer).linear_attn.out_proj)

    def producers(self, site: Site) -> list[Producer]:
        """Those of the neurons; of the attentions, which stay whole, the value projection alone."""
        if site.kind == "ffn":
            return super().producers(site)
        block = self.block(site.layer)
        linear = block.linear_attn.in_proj_z if self._is_linear(site.layer) else block.self_attn.v_proj
        return [Producer(linear, linear.out_features // site.bundles)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        if site.kind == "ffn" or not self._is_linear(site.layer):
            return super().consumer_input(site, hidden, context)
        mixer = self.block(site.layer).linear_attn
        with bypassed(mixer, "out_proj"):
            return cast(Tensor, mixer(self.normed(site, hidden), attention_mask=context["attention_mask"]))

    def state_of(self, layer: int) -> int | None:
        return int(self.config.linear_key_head_dim) if self._is_linear(layer) else None

    def _is_linear(self, layer: int) -> bool:
        return hasattr(self.block(layer), "linear_attn")
