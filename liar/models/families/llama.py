"""LLaMA and the siblings with the same module names: pre-norm blocks, gated FFN, grouped-query attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from liar.models.adapter import Adapter, Producer, bypassed
from liar.runtime.offload import resident
from liar.sites import Site
from liar.spec import SiteKind


class LlamaAdapter(Adapter):
    family: ClassVar[str] = "llama"
    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral", "qwen2", "qwen3")
    layers_path: ClassVar[str] = "layers"

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.mlp.down_proj.in_features)
        attention = block.self_attn
        heads = attention.o_proj.in_features // attention.head_dim
        return Site(layer, "attention", heads, attention.head_dim, attention.num_key_value_groups)

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
        block = self.block(site.layer)
        if site.kind == "ffn":
            with bypassed(block.mlp, "down_proj"):
                return cast(Tensor, block.mlp(block.post_attention_layernorm(hidden)))
        with bypassed(block.self_attn, "o_proj"):
            return cast(Tensor, block.self_attn(hidden_states=block.input_layernorm(hidden), **context)[0])

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        stream = hidden + output
        return stream, stream

    def last_norm(self) -> nn.Module | None:
        return cast(nn.Module, self.base.norm)

    def after_surgery(self, sites: list[Site]) -> None:
        """Write uniform sizes to the plain config fields, so that the result is an ordinary checkpoint of its family.

        A repaired consumer may have a bias. The config has one bias switch for all MLPs and one for all attentions, so
        their other linears get zero biases.
        """
        for kind in {site.kind for site in sites if self.consumer(site).bias is not None}:
            setattr(self.config, "mlp_bias" if kind == "ffn" else "attention_bias", True)
            for block in map(self.block, range(len(self.layers))):
                self._fill_biases(block.mlp if kind == "ffn" else block.self_attn)
        widths, heads = ({site.units for site in self.layout(targets)} for targets in ("ffn", "heads"))
        if len(widths) == 1:
            self.config.intermediate_size = widths.pop()
        if len(heads) == 1 and self.config.hidden_size % max(heads) == 0:  # the config rejects other head counts
            attention = self.block(0).self_attn
            self.config.head_dim = attention.head_dim
            self.config.num_attention_heads = heads.pop()
            self.config.num_key_value_heads = attention.k_proj.out_features // attention.head_dim

    @staticmethod
    def _fill_biases(module: nn.Module) -> None:
        with resident(module):
            for linear in module.children():
                if isinstance(linear, nn.Linear) and linear.bias is None:
                    zeros = linear.weight.new_zeros(linear.out_features)
                    linear.register_parameter("bias", nn.Parameter(zeros, requires_grad=False))

    def check_blocks(self) -> None:
        """Blocks only add to the residual stream, so any of them can go."""

    def remove_blocks(self, blocks: range) -> None:
        """The result has the config of its family with fewer layers; a bias of the patch may make it ragged all the same."""
        config: Any = self.config
        for name, values in list(vars(config).items()):
            # Lists of token ids may be as long by chance.
            if isinstance(values, list) and len(values) == len(self.layers) and "token_id" not in name:
                setattr(config, name, [value for layer, value in enumerate(values) if layer not in blocks])
        self.base.layers = nn.ModuleList(block for layer, block in enumerate(self.layers) if layer not in blocks)
        for layer in range(len(self.layers)):
            self.block(layer).self_attn.layer_idx = layer  # its place in the cache of keys and values
        config.num_hidden_layers = len(self.layers)

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "ffn":
            self.block(site.layer).mlp.intermediate_size = len(bundles)
