"""OLMo 2: a LLaMA that normalises what each half of a block gives, and not what it reads."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from liar.models.families.gemma import GemmaAdapter
from liar.presets import types_of
from liar.sites import Site


class Olmo2Adapter(GemmaAdapter):
    family: ClassVar[str] = "olmo2"
    model_types: ClassVar[tuple[str, ...]] = types_of("olmo2")
    why_no_heads: ClassVar[str] = "one norm spans the queries of all heads, so that each depends on the others"

    def normed(self, site: Site, hidden: Tensor) -> Tensor:
        return hidden
