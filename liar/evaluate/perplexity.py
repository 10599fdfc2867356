"""Perplexity of a language model over windows of equal length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from liar.evaluate.outcome import Outcome, Steps, digest
from liar.results import Figure, Items
from liar.runtime.devices import execution_device
from liar.runtime.memory import EVALUATION_POSITIONS, EVALUATION_WINDOWS

if TYPE_CHECKING:
    from liar.models.vocabulary.vocabulary import Vocabulary

_DIGITS = 7
"""Decimals of a window's nats: a relative error of 1e-7 in perplexity, far below any difference that is compared."""


def window_steps(model: PreTrainedModel, windows: Tensor, vocabulary: Vocabulary | None = None) -> Steps:
    """Measure the perplexity of ``windows`` (n, length): exp of the mean of their mean negative log likelihoods.

    Those are in nats, over all tokens of a window except its first, each given those before it. The standard error is that
    over the n windows, by the delta method. Of a model with a smaller ``vocabulary`` the windows are those of the dense model;
    a token that went is read in pieces, whose nats are those of the token, so that perplexities are of one and the same token.
    """
    means: list[Tensor] = []
    for part in windows.split(EVALUATION_WINDOWS):
        means.append(_mean_nll(model, part) if vocabulary is None else _mean_nll_in_pieces(model, part, vocabulary))
        yield sum(map(len, means)), len(windows)
    nll = torch.cat(means)
    value = math.exp(float(nll.mean()))
    stderr = value * float(nll.std(correction=1)) / math.sqrt(len(nll))
    named = f"{tuple(windows.shape)}".encode() + windows.cpu().numpy().tobytes()
    items = Items(digest=digest(named), nll=[round(mean, _DIGITS) for mean in nll.tolist()])
    figure = Figure(metric="perplexity", value=value, stderr=stderr)
    return Outcome((), items, [], [], None, cut=None, perplexity=figure)


def _mean_nll(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Mean negative log likelihood of each window: (n, length) -> (n,) float64 on the CPU."""
    return _nll(model, windows).sum(dim=1) / (windows.shape[1] - 1)


def _mean_nll_in_pieces(model: PreTrainedModel, windows: Tensor, vocabulary: Vocabulary) -> Tensor:
    """The same of windows of the dense model, for each of its tokens behind the first."""
    rows = [vocabulary.of_dense(window) for window in windows.tolist()]
    flat = [[id for pieces in row for id in pieces] for row in rows]
    longest = max(map(len, flat))
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids in flat])  # behind a text, where nothing reads it
    nll, place = _nll(model, padded), torch.arange(1, longest)
    first, lengths = (torch.tensor(each).unsqueeze(1) for each in ([len(row[0]) for row in rows], [*map(len, flat)]))
    return nll.where((place >= first) & (place < lengths), 0).sum(dim=1) / (windows.shape[1] - 1)


@torch.no_grad()
def _nll(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """Negative log likelihood of each token behind the first: (n, length) -> (n, length - 1) float64 on the CPU."""
    tokens = tokens.to(execution_device(model))
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    targets = tokens[:, 1:]
    parts: list[Tensor] = []
    for start in range(0, targets.shape[1], EVALUATION_POSITIONS):
        part = slice(start, start + EVALUATION_POSITIONS)
        chosen = logits[:, part].float().flatten(0, 1)  # contiguous rows: four times faster than strided ones
        nll = cross_entropy(chosen, targets[:, part].flatten(), reduction="none").view(len(tokens), -1)
        parts.append(nll.cpu().double())
    return torch.cat(parts, dim=1)
