"""GPT-2: pre-norm blocks with a plain FFN, and Conv1D in place of linear layers: the same with a transposed weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from liar.models.adapter import Adapter, Producer
from liar.models.recorder import bypassed
from liar.presets import types_of
from liar.sites import Site
from liar.spec import SiteKind


class TransposedLinear(nn.Linear):
    """A Conv1D as a linear layer, whose state dict has the weight of the Conv1D: (d_in, d_out)."""

    def __init__(self, conv: Conv1D) -> None:
        super().__init__(conv.nx, conv.nf, device="meta")
        self.weight = nn.Parameter(conv.weight.detach().T, requires_grad=conv.weight.requires_grad)
        self.bias = conv.bias

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = destination[f"{prefix}weight"].T.contiguous()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        name = f"{prefix}weight"
        turned = {name: state[name].T.contiguous()} if name in state else {}
        super()._load_from_state_dict(state | turned, prefix, *rest)


class Gpt2Adapter(Adapter):
    """Replaces every Conv1D of the blocks."""

    family: ClassVar[str] = "gpt2"
    model_types: ClassVar[tuple[str, ...]] = types_of("gpt2")
    layers_path: ClassVar[str] = "h"
    loses_blocks: ClassVar[bool] = True
    streams: ClassVar[bool] = False
    width_field: ClassVar[str] = "n_inner"

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        found = [
            (parent, name, child)
            for parent in self.layers.modules()
            for name, child in parent.named_children()
            if isinstance(child, Conv1D)
        ]
        for parent, name, conv in found:
            setattr(parent, name, TransposedLinear(conv))

    def site(self, layer: int, kind: SiteKind) -> Site:
        block = self.block(layer)
        if kind == "ffn":
            return Site(layer, "ffn", block.mlp.c_proj.in_features)
        return Site(layer, "attention", block.attn.num_heads, block.attn.head_dim)

    def consumer(self, site: Site) -> nn.Linear:
        return cast(nn.Linear, self._half(site).c_proj)

    def producers(self, site: Site) -> list[Producer]:
        block = self.block(site.layer)
        if site.kind == "ffn":
            return [Producer(block.mlp.c_fc, 1)]
        return [Producer(block.attn.c_attn, site.unit_size, part * site.channels) for part in range(3)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        block, half = self.block(site.layer), self._half(site)
        with bypassed(half, "c_proj"):
            if site.kind == "ffn":
                return cast(Tensor, half(block.ln_2(hidden)))
            return cast(Tensor, half(block.ln_1(hidden), **context)[0])

    def last_norm(self) -> nn.Module | None:
        return cast(nn.Module, self.base.ln_f)

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "attention":
            attention, channels = self.block(site.layer).attn, len(bundles) * site.unit_size
            attention.num_heads, attention.split_size, attention.embed_dim = len(bundles), channels, channels

    def _half(self, site: Site) -> Any:
        block = self.block(site.layer)
        return block.mlp if site.kind == "ffn" else block.attn
