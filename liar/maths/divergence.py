"""Divergence of a pruned model's answers from the dense model's: what a loss feels, without labels.

* a distribution over classes or tokens: KL(p || q) = sum_i p_i (log p_i - log q_i);
* independent yes or no answers: the sum of their KL divergences;
* numbers: half the squared difference, the KL divergence of normal distributions of variance 1.

>>> import torch
>>> from liar.maths.divergence import of_distributions
>>> of_distributions(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
0.0
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 64
"""Rows whose probabilities over the whole vocabulary are in memory at once."""


def of_distributions(dense: Tensor, pruned: Tensor) -> Tensor:
    """KL(dense || pruned) in nats of each row of logits (rows, classes) -> (rows,) fp64. A logit of -inf is no class."""
    found = []
    for first, second in zip(dense.split(_ROWS), pruned.split(_ROWS), strict=True):
        log_p, log_q = first.float().log_softmax(dim=-1), second.float().log_softmax(dim=-1)
        terms = torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_p - log_q))
        found.append(terms.sum(dim=-1).double().cpu())
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def of_yes_or_no(dense: Tensor, pruned: Tensor) -> Tensor:
    """Sum over the columns of logits (rows, answers) of the KL divergences of their probabilities -> (rows,) fp64."""
    p, q = (torch.stack([torch.zeros_like(logits), logits], dim=-1) for logits in (dense, pruned))
    return of_distributions(p.flatten(0, 1), q.flatten(0, 1)).view(dense.shape).sum(dim=-1)


def of_numbers(dense: Tensor, pruned: Tensor) -> Tensor:
    """Half the squared difference of outputs (rows, outputs), summed over the outputs -> (rows,) fp64."""
    return (dense.cpu().double() - pruned.cpu().double()).square().sum(dim=-1) / 2
