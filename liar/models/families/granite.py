"""Granite: a LLaMA that scales what it adds to the residual stream."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from liar.models.families.llama import LlamaAdapter
from liar.presets import types_of
from liar.sites import Site


class GraniteAdapter(LlamaAdapter):
    family: ClassVar[str] = "granite"
    model_types: ClassVar[tuple[str, ...]] = types_of("granite")

    @property
    def multiplier(self) -> float:
        return float(self.config.residual_multiplier)

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        stream = hidden + output * self.multiplier
        # In the units of the output, so that what a repair adds to it is what the sum lacks.
        return stream / self.multiplier, stream
