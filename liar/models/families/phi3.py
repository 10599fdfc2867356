"""Phi-3: a LLaMA with queries, keys and values in one matrix, and gate and up projection in another."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from liar.models.adapter import Producer
from liar.models.families.llama import LlamaAdapter
from liar.models.ragged import OwnNumbers
from liar.presets import types_of
from liar.sites import Site


class Phi3Adapter(LlamaAdapter):
    family: ClassVar[str] = "phi3"
    model_types: ClassVar[tuple[str, ...]] = types_of("phi3")

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.mlp.gate_up_proj, 1), Producer(block.mlp.gate_up_proj, 1, site.channels)]
        fused, keys = block.self_attn.qkv_proj, site.bundles * site.unit_size
        return [
            Producer(fused, site.bundle_size),
            Producer(fused, site.unit_size, site.channels),
            Producer(fused, site.unit_size, site.channels + keys),
        ]

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        super().keep_units(site, bundles)
        if site.kind == "attention":
            attention = self.block(site.layer).self_attn
            # It reads there where the queries end.
            attention.config = OwnNumbers(self.config, num_attention_heads=len(bundles) * site.group)
