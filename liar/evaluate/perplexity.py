"""Perplexity of a language model over windows of equal length."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from liar.evaluate.outcome import Outcome, Steps, digest
from liar.results import Figure, Items
from liar.runtime.devices import execution_device
from liar.runtime.memory import EVALUATION_POSITIONS, EVALUATION_WINDOWS

_DIGITS = 7
"""Decimals of a window's nats: a relative error of 1e-7 in perplexity, far below any difference that is compared."""


def window_steps(model: PreTrainedModel, windows: Tensor) -> Steps:
    """Measure the perplexity of ``windows`` (n, length): exp of the mean of their mean negative log likelihoods.

    Those are in nats, over all tokens of a window except its first, each given those before it. The standard error is that
    over the n windows, by the delta method.
    """
    means: list[Tensor] = []
    for part in windows.split(EVALUATION_WINDOWS):
        means.append(_mean_nll(model, part))
        yield sum(map(len, means)), len(windows)
    nll = torch.cat(means)
    value = math.exp(float(nll.mean()))
    stderr = value * float(nll.std(correction=1)) / math.sqrt(len(nll))
    named = f"{tuple(windows.shape)}".encode() + windows.cpu().numpy().tobytes()
    items = Items(digest=digest(named), nll=[round(mean, _DIGITS) for mean in nll.tolist()])
    figure = Figure(metric="perplexity", value=value, stderr=stderr)
    return Outcome((), items, [], [], None, cut=None, perplexity=figure)


@torch.no_grad()
def _mean_nll(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Mean negative log likelihood of each window: (n, length) -> (n,) float64 on the CPU."""
    tokens = windows.to(execution_device(model))
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    targets = tokens[:, 1:]
    total = torch.zeros(len(tokens), dtype=torch.float64)
    for start in range(0, targets.shape[1], EVALUATION_POSITIONS):
        part = slice(start, start + EVALUATION_POSITIONS)
        chosen = logits[:, part].float().flatten(0, 1)  # contiguous rows: four times faster than strided ones
        nll = cross_entropy(chosen, targets[:, part].flatten(), reduction="none").view(len(tokens), -1)
        total += nll.cpu().double().sum(dim=1)
    return total / targets.shape[1]
