"""Gemma 2 and 3: a LLaMA that also normalises what each half of a block gives, before it is added."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor

from liar.models.families.llama import LlamaAdapter
from liar.presets import types_of
from liar.sites import Site


class GemmaAdapter(LlamaAdapter):
    family: ClassVar[str] = "gemma2"
    model_types: ClassVar[tuple[str, ...]] = types_of("gemma2")
    loses_blocks: ClassVar[bool] = False

    def normed(self, site: Site, hidden: Tensor) -> Tensor:
        block = self.block(site.layer)
        norm = block.pre_feedforward_layernorm if site.kind == "ffn" else block.input_layernorm
        return cast(Tensor, norm(hidden))

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        block = self.block(site.layer)
        norm = block.post_feedforward_layernorm if site.kind == "ffn" else block.post_attention_layernorm
        return output, hidden + cast(Tensor, norm(output))
