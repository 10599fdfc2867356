"""Where backward passes start: gradients of a model's loss, and of random signs, at its logits or before its head.

The logits of a language model are its largest tensor, so gradients pass through its head a few positions at a time.
Losses and the Fisher metric F of each head are defined in :mod:`liar.calibration.gradients`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from liar.models.embedder import Embedder
from liar.models.heads import Problem, head_of, problem_of
from liar.runtime.devices import without_labels
from liar.runtime.memory import BACKWARD_POSITIONS

_ROWS = 16
"""Positions whose probabilities over the whole vocabulary are in memory at once, beside the logits."""

Slopes = tuple[Tensor, Tensor | None, Tensor | None]
"""The tensor to start backward passes from, and the gradients of the loss and of s^T F^(1/2) z there.

A gradient is None if it is not wanted. The loss is the sum over sequences of each sequence's own loss.
"""


def slopes(
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    signs: torch.Generator | None,
    with_loss: bool,
    embedder: Embedder | None = None,
) -> Slopes:
    """Run the model forward; ``signs`` draws the random signs s on its own device, None if they are not wanted.

    The tensor is the input of a language model's head (sequences, length, width), the logits of a classifier
    (sequences, outputs), those of an answer's start and end (sequences, 2, length), or the unit vectors of the ``embedder``
    (sequences, dimensions), which by default pools by the mean.
    """
    head = model.get_output_embeddings()
    if head is not None:
        return _token_slopes(model, head, inputs, signs, with_loss)
    kind = head_of([type(model).__name__])
    output = model(**without_labels(inputs), use_cache=False)
    if kind == "none":
        vectors = (embedder or Embedder()).vectors(output.last_hidden_state, inputs["attention_mask"])
        return (
            vectors,
            _similarity_slope(vectors.detach()) if with_loss else None,
            _signs(vectors.detach(), signs) if signs is not None else None,
        )
    if kind == "question-answering":
        both = torch.stack([output.start_logits, output.end_logits], dim=1)
        return _span_slopes(both, inputs, signs, with_loss)
    logits: Tensor = output.logits
    problem, seen = problem_of(model.config), logits.detach()
    return (
        logits,
        _text_slope(problem, seen, inputs.get("labels")) if with_loss else None,
        _text_signs(problem, seen, signs) if signs is not None else None,
    )


# -- language models ---------------------------------------------------------------------------------------------------


def _token_slopes(
    model: PreTrainedModel, head: nn.Module, inputs: dict[str, Tensor], signs: torch.Generator | None, with_loss: bool
) -> Slopes:
    answer: Tensor = model.base_model(**without_labels(inputs), use_cache=False).last_hidden_state
    of_loss = torch.zeros_like(answer) if with_loss else None
    of_signs = torch.zeros_like(answer) if signs is not None else None
    shares = _shares(inputs)
    for start in range(0, shares.shape[1], BACKWARD_POSITIONS):
        part = slice(start, min(start + BACKWARD_POSITIONS, shares.shape[1]))
        read = answer[:, part].detach().requires_grad_()
        logits = head(read)
        seen = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        if of_loss is not None:
            slope = _loss_slope(seen, inputs["input_ids"][:, 1:][:, part], shares[:, part]).to(logits.dtype)
            (of_loss[:, part],) = torch.autograd.grad(logits, read, slope, retain_graph=of_signs is not None)
        if of_signs is not None and signs is not None:
            slope = _fisher_signs(seen, shares[:, part], signs).to(logits.dtype)
            (of_signs[:, part],) = torch.autograd.grad(logits, read, slope)
    return answer, of_loss, of_signs


def _fisher_signs(logits: Tensor, shares: Tensor, signs: torch.Generator) -> Tensor:
    """F^(1/2)^T s for random signs s; the expected squared norm of its gradient is the trace of the sensitivity."""
    slope = _signs(logits, signs)
    for seen, signed in zip(logits.flatten(0, -2).split(_ROWS), slope.flatten(0, -2).split(_ROWS), strict=True):
        p = seen.softmax(dim=-1)
        signed.mul_(p.sqrt())
        signed.sub_(p.mul_(signed.sum(dim=-1, keepdim=True)))
    return slope.mul_(shares.sqrt().unsqueeze(-1))


def _shares(inputs: dict[str, Tensor]) -> Tensor:
    """Weight of each predicted token in the mean of its sequence, (sequences, length - 1) fp32; zero for padding."""
    real = inputs["attention_mask"][:, 1:].float()
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)


# -- classifiers of a text ---------------------------------------------------------------------------------------------


def _text_slope(problem: Problem, logits: Tensor, labels: Tensor | None) -> Tensor:
    """Gradient of a text classifier's loss at ``logits`` (sequences, outputs).

    ``labels`` (sequences,) are classes, or numbers for a regression. Without them the model's own prediction is the
    label; for a regression the loss is then the mean of the outputs.
    """
    if problem == "single-label":
        classes = logits.argmax(dim=-1) if labels is None else labels
        return _loss_slope(logits, classes, logits.new_ones(len(logits)))
    if problem == "multi-label":
        hold = logits > 0 if labels is None else nn.functional.one_hot(labels, logits.shape[-1])
        return (logits.sigmoid() - hold.to(logits.dtype)) / logits.shape[-1]
    if labels is None:
        return torch.full_like(logits, 1 / logits.shape[-1])
    return 2 * (logits - labels.unsqueeze(-1)) / logits.shape[-1]


def _text_signs(problem: Problem, logits: Tensor, signs: torch.Generator) -> Tensor:
    """Random signs, centred for single-label problems, because only differences of logits matter there.

    For two classes one direction is left, in which nothing is random: (1, -1) / sqrt(2).
    """
    if problem == "single-label" and logits.shape[-1] == 2:
        sign = torch.full_like(logits, 0.5**0.5)
        sign[..., 1].neg_()
        return sign
    sign = _signs(logits, signs)
    return sign.sub_(sign.mean(dim=-1, keepdim=True)) if problem == "single-label" else sign


# -- embedders ---------------------------------------------------------------------------------------------------------


def _similarity_slope(vectors: Tensor) -> Tensor:
    """Gradient of each text's similarity to the next one of its piece, which stays as it is; the last is followed by the first.

    Without labels there is no error to reduce, so this is what taylor and fisher take as the loss of an embedder.
    """
    return vectors.roll(-1, dims=0)


# -- heads that mark an answer -----------------------------------------------------------------------------------------


def _span_slopes(answer: Tensor, inputs: dict[str, Tensor], signs: torch.Generator | None, with_loss: bool) -> Slopes:
    """``answer``: logits of the start and the end at each position, (sequences, 2, length)."""
    seen = answer.detach().to(torch.promote_types(answer.dtype, torch.float32))
    real = inputs["attention_mask"].bool().unsqueeze(1).expand_as(seen)
    marks = None
    if "start_positions" in inputs and "end_positions" in inputs:
        marks = torch.stack([inputs["start_positions"], inputs["end_positions"]], dim=1)
    return (
        answer,
        _span_slope(seen, real, marks).to(answer.dtype) if with_loss else None,
        _span_signs(seen, real, signs).to(answer.dtype) if signs is not None else None,
    )


def _span_slope(logits: Tensor, real: Tensor, marks: Tensor | None) -> Tensor:
    """Gradient of the mean of two cross entropies; ``marks`` (sequences, 2), without them the model's own prediction."""
    logits = logits.masked_fill(~real, -torch.inf)
    marks = logits.argmax(dim=-1) if marks is None else marks
    return _loss_slope(logits, marks, logits.new_full(marks.shape, 1 / 2))


def _span_signs(logits: Tensor, real: Tensor, signs: torch.Generator) -> Tensor:
    """Random signs at ``real`` positions, the same beside any padding, centred over the positions of each softmax."""
    slope = torch.zeros_like(logits)
    slope[real] = _signs(logits[real], signs)
    mean = slope.sum(dim=-1, keepdim=True) / real.sum(dim=-1, keepdim=True)
    return slope.sub_(mean).mul_(real).mul_((1 / 2) ** 0.5)


# -- parts of several --------------------------------------------------------------------------------------------------


def _loss_slope(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """Gradient of the cross entropy at ``logits`` (..., classes): (p - e_target) times the token's share in the mean.

    The loss is the sum over sequences of each sequence's mean, so a row of a mask depends on its own sequence only.
    """
    slope = logits.softmax(dim=-1)
    slope.scatter_add_(-1, targets.unsqueeze(-1), -torch.ones_like(targets, dtype=slope.dtype).unsqueeze(-1))
    return slope.mul_(shares.unsqueeze(-1))


def _signs(like: Tensor, signs: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=signs, dtype=torch.int8, device=signs.device)
    return drawn.to(like.device, like.dtype).mul_(2).sub_(1)
