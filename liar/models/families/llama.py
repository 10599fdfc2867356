"""LLaMA and the decoders with its modules: pre-norm blocks, gated FFN, grouped-query attention."""

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


class LlamaAdapter(Adapter):
    family: ClassVar[str] = "llama"
    model_types: ClassVar[tuple[str, ...]] = types_of("llama")
    layers_path: ClassVar[str] = "layers"
    loses_blocks: ClassVar[bool] = True
    why_no_heads: ClassVar[str] = "its attentions have weights beside the projections that belong to all heads together"

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        if self.prunable == "both" and self._heads_share():
            self.prunable = "ffn"  # type: ignore[misc]  # a fact of the model here

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.mlp.down_proj.in_features)
        attention = block.self_attn
        heads = attention.o_proj.in_features // attention.head_dim
        return Site(layer, "attention", heads, attention.head_dim, getattr(attention, "num_key_value_groups", 1))

    def consumer(self, site: Site) -> nn.Linear:
        block = self.block(site.layer)
        return cast(nn.Linear, block.mlp.down_proj if site.kind == "ffn" else block.self_attn.o_proj)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.mlp.gate_proj, 1), Producer(block.mlp.up_proj, 1)]
        attention = block.self_attn
        return [
            Producer(attention.q_proj, site.bundle_size),
            Producer(attention.k_proj, site.unit_size),
            Producer(attention.v_proj, site.unit_size),
        ]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block, normed = self.block(site.layer), self.normed(site, hidden)
        if site.kind == "ffn":
            with bypassed(block.mlp, "down_proj"):
                return cast(Tensor, block.mlp(normed))
        with bypassed(block.self_attn, "o_proj"):
            return cast(Tensor, block.self_attn(hidden_states=normed, **context)[0])

    def normed(self, site: Site, hidden: Tensor) -> Tensor:
        """What the half of the block reads: the norm of the residual stream."""
        block = self.block(site.layer)
        norm = block.post_attention_layernorm if site.kind == "ffn" else block.input_layernorm
        return cast(Tensor, norm(hidden))

    def last_norm(self) -> nn.Module | None:
        return self.scaling(self.base.norm)

    def _heads_share(self) -> bool:
        """Whether the attention has other weights than its projections and two norms of one head, as OLMo 2 has."""
        site = self.site(0, "attention")
        linears = [self.consumer(site), *(producer.module for producer in self.producers(site))]
        known = {parameter for linear in linears for parameter in linear.parameters()}
        others = set(self.block(0).self_attn.parameters()) - known
        return bool(sum(parameter.numel() for parameter in others) > 2 * site.unit_size)

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        block = self.block(site.layer)
        if site.kind == "ffn":
            block.mlp.intermediate_size = len(bundles)
            return
        # Some attentions reshape by counts of their own (StableLM).
        heads = len(bundles) * site.group
        counts = {"num_heads": heads, "num_attention_heads": heads, "num_key_value_heads": len(bundles)}
        for name, count in counts.items():
            if hasattr(block.self_attn, name):
                setattr(block.self_attn, name, count)
