"""NomicBERT: an encoder with LLaMA's modules and BERT's norms, of the sum of residual and output."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from liar.models.families.llama import LlamaAdapter
from liar.presets import types_of
from liar.sites import Site


class NomicBertAdapter(LlamaAdapter):
    family: ClassVar[str] = "nomic_bert"
    model_types: ClassVar[tuple[str, ...]] = types_of("nomic_bert")
    loses_blocks: ClassVar[bool] = False

    def normed(self, site: Site, hidden: Tensor) -> Tensor:
        return hidden

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        block, stream = self.block(site.layer), hidden + output
        norm = block.post_mlp_layernorm if site.kind == "ffn" else block.post_attention_layernorm
        return stream, cast(Tensor, norm(stream))

    def last_norm(self) -> nn.Module | None:
        return None
