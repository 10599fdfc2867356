"""Coherence: how much more the error of a whole text counts than those of its tokens, where a text has one answer.

An error e_t of a site at the tokens t of a text moves the text's vector by sum_t J_t e_t. What the tokens have in common, the
mean m of e_t, adds up over the text; what is left of each, d_t = e_t - m, mostly cancels. With gradients of correlation rho
between two tokens of a text, and errors d_t that are not correlated with them,

    E|sum_t J_t e_t|^2  ~  sum_t |d_t|^2 + (1 + rho (T - 1)) T |m|^2,

in units of the mean |g_t|^2 of the gradients g_t of its T tokens. So the mean of a text counts 1 + rho (T - 1) times: with
moments of the tokens and, of each text, of its mean with the weight rho (T - 1) T, least squares fits vectors of texts and no
states of tokens. rho is the intraclass correlation of the gradients (Fisher 1925), measured in the backward pass of the
sensitivities: in MiniLM 0.1 in the first blocks, behind which attention mixes the tokens, and 0.9 at the last site, right
before the mean over the text.

>>> import torch
>>> from liar.calibration.coherence import Coherence
>>> alike, found = torch.ones(2, 3, 4), Coherence()
>>> found.update(alike, torch.tensor([[1, 1, 1], [1, 1, 0]]))
>>> found.value
1.0
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from liar.models.adapter import Stream

COUNTED = 0.3
"""Share of the weight of a mean that counts: there are fewer texts than tokens, so their moments are noisier. On validation
texts of MiniLM the cosine to the dense vectors is lower with all of it and with none; neighbours hardly tell none from this."""


@dataclass(slots=True)
class Coherence:
    """Sums over texts: of products of the gradients at two tokens of a text, ``pairs``, and the most that these could be."""

    pairs: float = 0.0
    most: float = 0.0

    def update(self, gradients: Tensor, mask: Tensor) -> None:
        """Add texts with ``gradients`` (texts, length, d_out); those of padding, where ``mask`` is 0, are zero."""
        energy = gradients.square().sum(dim=(1, 2)).double()
        total = gradients.sum(dim=1).square().sum(dim=1).double()
        tokens = mask.sum(dim=1).to(energy.device)
        self.pairs += float((total - energy).sum())
        self.most += float(((tokens - 1) * energy).sum())

    @property
    def value(self) -> float:
        """From 0, if gradients at two tokens have nothing in common, to 1, if they are equal."""
        return min(max(self.pairs / self.most, 0.0), 1.0) if self.most > 0 else 0.0


def text_means(stream: Stream, values: Tensor, chosen: slice | Tensor = slice(None)) -> Tensor:
    """The mean of ``values`` (texts, length, d) over the tokens of each of the ``chosen`` texts of a stream, (texts, d)."""
    if stream.mask is None:
        return values.mean(dim=1)
    mask = stream.mask[chosen].unsqueeze(-1)
    return values.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)


def mean_weights(stream: Stream, coherence: float) -> Tensor:
    """Weight of the mean of each text of a stream, the share :data:`COUNTED` of rho (T - 1) T, (texts,) fp32."""
    texts, length = stream.hidden.shape[:2]
    tokens = torch.full((texts,), length) if stream.mask is None else stream.mask.sum(dim=1)
    return COUNTED * coherence * ((tokens - 1) * tokens).float().to(stream.hidden.device)
