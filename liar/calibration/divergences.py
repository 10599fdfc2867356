"""Divergence of a changed model from the dense one on the same text, without surgery.

A candidate has other consumers, whose removed channels have zero weights, so that it answers as the smaller model would;
the dense consumers are back when :func:`restored` ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from liar.calibration.activations import evaluating
from liar.maths.divergence import of_distributions, of_numbers, of_yes_or_no
from liar.models.adapter import Adapter, Batch, execution_device, without_labels
from liar.models.heads import answers_every_token, head_of, problem_of
from liar.models.precision import fast_products
from liar.models.surgery import ConsumerParameters
from liar.sites import Site

Answers = list[Tensor]
"""Logits (rows, classes) of one piece: of every predicted token, of each text, or of each answer's start and end."""

_SEQUENCES = 8


def pieces_of(adapter: Adapter, batches: Sequence[Batch]) -> list[Batch]:
    """The text in pieces of a few sequences, of one if the model answers at every token; on the device, without labels."""
    device = execution_device(adapter.model)
    size = 1 if answers_every_token(adapter.model) else _SEQUENCES
    return [
        {name: tensor[start : start + size].to(device) for name, tensor in without_labels(batch).items()}
        for batch in batches
        for start in range(0, len(batch["input_ids"]), size)
    ]


@torch.no_grad()
def answers_steps(adapter: Adapter, pieces: Sequence[Batch]) -> Generator[int, None, list[Answers]]:
    """The model's answers to each piece, on its device; yields how many are done."""
    found = []
    with evaluating(adapter.model):
        for done, inputs in enumerate(pieces, start=1):
            found.append(_answers(adapter, inputs))
            yield done
    return found


@torch.no_grad()
def divergence_steps(
    adapter: Adapter, pieces: Sequence[Batch], dense: Sequence[Answers]
) -> Generator[int, None, float]:
    """Mean divergence in nats from the ``dense`` answers, per predicted token, text or answer; yields pieces done."""
    total, rows = 0.0, 0
    with evaluating(adapter.model):
        for done, (inputs, before) in enumerate(zip(pieces, dense, strict=True), start=1):
            rows += len(before[0])
            pairs = zip(before, _answers(adapter, inputs), strict=True)
            total += sum(float(_divergence(adapter, *pair).sum()) for pair in pairs)
            yield done
    return total / max(rows, 1)


@contextmanager
def restored(adapter: Adapter, sites: Sequence[Site]) -> Iterator[None]:
    """Consumers of ``sites``, and a last norm, that are changed inside the context are the former ones after it."""
    norm = adapter.last_norm()
    gain = {} if norm is None else dict(norm.named_parameters())
    before = {site: adapter.consumer(site) for site in sites}
    weights = {site: (consumer.weight, consumer.bias) for site, consumer in before.items()}
    try:
        yield
    finally:
        for site, (weight, bias) in weights.items():
            before[site].weight = weight
            before[site].register_parameter("bias", bias)
        for name, parameter in gain.items():
            setattr(norm, name, parameter)


def masked(consumer_weight: Tensor, kept: Tensor, parameters: ConsumerParameters) -> ConsumerParameters:
    """``parameters`` of a consumer that keeps the channels ``kept``, widened by zeros to the shape of ``consumer_weight``."""
    weight = torch.zeros_like(consumer_weight)
    weight[:, kept] = parameters.weight
    return ConsumerParameters(weight, parameters.bias)


def _answers(adapter: Adapter, inputs: Batch) -> Answers:
    choices = {"use_cache": False} if answers_every_token(adapter.model) else {}
    with fast_products(adapter.model):
        output = adapter.model(**inputs, **choices)
    real = inputs["attention_mask"].bool()
    if answers_every_token(adapter.model):
        return [output.logits[real]]
    if head_of([type(adapter.model).__name__]) == "question-answering":
        return [logits.masked_fill(~real, -torch.inf) for logits in (output.start_logits, output.end_logits)]
    return [output.logits]


def _divergence(adapter: Adapter, dense: Tensor, pruned: Tensor) -> Tensor:
    if head_of([type(adapter.model).__name__]) == "sequence-classification":
        problem = problem_of(adapter.model.config)
        if problem != "single-label":
            return of_yes_or_no(dense, pruned) if problem == "multi-label" else of_numbers(dense, pruned)
    return of_distributions(dense, pruned)
