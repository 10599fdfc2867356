"""A map of texts in two dimensions: where the vectors of a dense model lie, and where those of a smaller one do.

The axes are the two principal components of the dense vectors, the same for all models, so that an arrow is a move.

>>> import torch
>>> from liar.evaluate.text_map import text_map
>>> dense = torch.nn.functional.normalize(torch.eye(4, 8) + 1, dim=1)
>>> found = text_map("embedding", ["a text"] * 4, {"dense": dense, "pruned": dense.roll(1, 0)})
>>> found.points["pruned"][1] == found.points["dense"][0]
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from liar.results import TextMap, Variant

MOST_TEXTS = 120
"""Texts of a map: more are a cloud."""
_WORDS = 70
"""Characters of a text that name it."""


@torch.no_grad()
def text_map(task: str, texts: Sequence[str], vectors: Mapping[Variant, Tensor]) -> TextMap:
    """The first :data:`MOST_TEXTS` of ``texts`` on the principal components of all dense ``vectors`` (texts, dimensions).

    The sign of a component is such that its largest entry is positive.
    """
    dense = vectors["dense"].double()
    mean = dense.mean(dim=0)
    _, values, components = torch.linalg.svd(dense - mean, full_matrices=False)
    axes = components[:2]
    axes = axes * axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
    return TextMap(
        task=task,
        texts=[text if len(text) <= _WORDS else text[: _WORDS - 1] + "…" for text in texts[:MOST_TEXTS]],
        points={
            variant: [(round(x, 4), round(y, 4)) for x, y in ((own[:MOST_TEXTS].double() - mean) @ axes.T).tolist()]
            for variant, own in vectors.items()
        },
        share=round(float(values[:2].square().sum() / values.square().sum()), 4),
    )
