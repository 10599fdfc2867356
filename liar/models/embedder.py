"""An embedder: a model whose pooled last hidden states are the product, as in sentence-transformers.

The states of a text's tokens are pooled, may pass linear layers, and count by their direction alone.

>>> import torch
>>> from liar.models.embedder import Embedder
>>> states, mask = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [7.0, 7.0]]]), torch.tensor([[1, 1, 0]])
>>> Embedder("mean").vectors(states, mask).tolist()
[[0.6000000238418579, 0.800000011920929]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

Pooling = Literal["mean", "cls", "lasttoken"]
"""The mean over the tokens of a text, its first, or its last token."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True, slots=True)
class Embedder:
    """How a model's last hidden states become the vector of a text.

    ``dense`` are the layers behind the pooling. ``prompts`` are put before a text by its role ("query", "document");
    ``prompt`` before one without a role. ``length``: most tokens of a text, None for all positions. ``note``: a sentence on how
    the pooling was found, if the checkpoint does not say it.
    """

    pooling: Pooling = "mean"
    dense: nn.Sequential = field(default_factory=nn.Sequential)
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    length: int | None = None
    note: str | None = None

    def vectors(self, states: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors (texts, dimensions), at least in fp32, of the last hidden ``states`` (texts, length, width).

        ``mask`` (texts, length) is 0 for padding.
        """
        dtype = torch.promote_types(states.dtype, torch.float32)
        weights = pooling_weights(self.pooling, mask).to(states.device, dtype)
        pooled = (weights.unsqueeze(1) @ states.to(dtype)).squeeze(1)
        return normalize(self.dense(pooled), dim=-1)

    def prompt_of(self, role: Literal["query", "document"]) -> str:
        """What is put before a text of this role: its prompt, else that of a text without a role."""
        names = ("query",) if role == "query" else ("document", "passage", "corpus")
        return next((self.prompts[name] for name in names if name in self.prompts), self.prompt)


def pooling_weights(pooling: Pooling, mask: Tensor) -> Tensor:
    """Weight of each token in the pooled state, (texts, length) fp32; padding, where ``mask`` is 0, may be on either side."""
    real = mask.to(torch.float32)
    count = real.sum(dim=1, keepdim=True)
    if pooling == "mean":
        return real / count
    place = real.cumsum(dim=1)
    return real * (place == (1 if pooling == "cls" else count))
