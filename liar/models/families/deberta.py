"""DeBERTa v2 and v3: BERT's blocks, whose attentions also score positions.

Each layer projects the shared position embeddings by matrices of its own, those of the tokens or two more, so that a head takes
its rows of all of them along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor

from liar.models.adapter import Producer
from liar.models.families.bert import BertAdapter
from liar.presets import types_of
from liar.sites import Site


class DebertaAdapter(BertAdapter):
    family: ClassVar[str] = "deberta-v2"
    model_types: ClassVar[tuple[str, ...]] = types_of("deberta-v2")
    gives_tuple: ClassVar[bool] = True
    streams: ClassVar[bool] = False

    def producers(self, site: Site) -> list[Producer]:
        if site.kind == "ffn":
            return super().producers(site)
        attention = self.block(site.layer).attention.self
        names = ("query_proj", "key_proj", "value_proj", "pos_key_proj", "pos_query_proj")
        linears = [getattr(attention, name) for name in names if hasattr(attention, name)]
        return [Producer(linear, site.unit_size) for linear in linears]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        if site.kind == "ffn":
            return super().consumer_input(site, hidden, context)
        given = {name: context[name] for name in ("attention_mask", "relative_pos", "rel_embeddings")}
        return cast(Tensor, self.block(site.layer).attention.self(hidden, **given)[0])
