"""Mask gradients and sensitivities of every site, from backward passes of the calibration text.

* Mask gradients for the criteria taylor and fisher: dL/dm of a mask m = 1 on every bundle, one sample at a time. A mask
  on a consumer's input multiplies the bundle's channels, so its gradient is sum_t x_t . (dL/dx_t) over tokens t.
* Sensitivities for the allocation loss-curve: the mean over tokens of tr(J^T F J) at the residual stream behind the
  site, J the Jacobian of the logits and F the Fisher metric diag(p) - p p^T of their softmax, so that sensitivity x
  E|error|^2 is twice the divergence KL(dense || pruned) caused by an error, to second order and averaged over its
  directions (Gauss-Newton). F nearly vanishes at confident predictions, even if pruning may change them, so for text
  classifiers F is the centring matrix, or the identity if the outputs are independent (regression, multi-label). The
  trace is estimated with random signs s (Hutchinson 1989): one backward pass of s^T F^(1/2) z, z the logits. A mean
  needs less text than a covariance, so a part suffices, drawn at random because batches are sorted by length.

The logits of a language model are its largest tensor, so gradients pass through its head a few positions at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from transformers import PreTrainedModel

from liar.calibration.activations import evaluating
from liar.errors import InvalidSpecError
from liar.maths.criteria import SiteGradients
from liar.models.adapter import Adapter, Batch, execution_device
from liar.models.heads import Problem, check_gradients, head_of, problem_of
from liar.models.memory import BACKWARD_POSITIONS, BACKWARD_SEQUENCES
from liar.models.offload import is_offloaded
from liar.sites import Site
from liar.spec import Targets

SENSITIVITY_SHARE = 1 / 4
"""Share of the tokens used for sensitivities; pieces are taken in a random order until it is reached."""

_ROWS = 16
"""Positions whose probabilities over the whole vocabulary are in memory at once, beside the logits."""


Steps = Generator[tuple[int, int], None, dict[str, SiteGradients]]
"""Generator of (pieces done, pieces in all) that returns the gradients by name of the site."""


def gradient_steps(
    adapter: Adapter, batches: Sequence[Batch], targets: Targets, *, masks: bool = True, sensitivity: bool = True
) -> Steps:
    """Run the model forward and backward over ``batches``, a few sequences at a time.

    ``masks`` and ``sensitivity`` select the results; each takes one backward pass. The loss of a language model is
    next-token cross entropy. The loss of a text classifier depends on :func:`liar.models.heads.problem_of`: cross
    entropy, binary cross entropy or squared error against the labels of the batch, else against the model's own
    prediction. For a regression without labels that error is zero, so the mean of its outputs replaces the loss. Raises
    :class:`InvalidSpecError` for a model without a usable loss, see :func:`liar.models.heads.check_gradients`, and if
    all gradients are zero.
    """
    check_gradients(head_of([type(adapter.model).__name__]), streamed=is_offloaded(adapter.model))
    sites = adapter.sites(targets)
    device = execution_device(adapter.model)
    found = {
        site.name: SiteGradients(torch.zeros(site.bundles).double(), torch.zeros(site.bundles).double())
        for site in sites
    }
    pieces, last = _pieces(batches)
    if not masks:
        pieces = pieces[:last]
    sequences = tokens = 0
    signs = torch.Generator().manual_seed(0)
    required = [parameter for parameter in adapter.model.parameters() if parameter.requires_grad]
    with evaluating(adapter.model):
        try:
            for parameter in required:
                parameter.requires_grad_(False)
            for done, piece in enumerate(pieces, start=1):
                inputs = {name: tensor.to(device) for name, tensor in piece.items()}
                signed = sensitivity and done <= last
                by_mask, by_site = _backward(adapter, sites, inputs, signs if signed else None, masks)
                for name, gradient in by_mask.items():
                    found[name].taylor += gradient.sum(dim=0)
                    found[name].fisher += gradient.square().sum(dim=0)
                for name, trace in by_site.items():
                    found[name].sensitivity += trace
                sequences += len(inputs["input_ids"])
                tokens += int(inputs["attention_mask"].sum()) if signed else 0
                yield done, len(pieces)
        finally:
            for parameter in required:
                parameter.requires_grad_(True)
    if (masks and not any(bool((sums.fisher > 0).any()) for sums in found.values())) or (
        sensitivity and not any(sums.sensitivity > 0 for sums in found.values())
    ):
        raise InvalidSpecError(
            "No gradient of the loss at any site is above zero, so taylor, fisher and loss-curve have nothing to go by; check "
            "the weights of the model's head, take float32, or choose the criterion fluctuation or obs with the allocation "
            "error-curve."
        )
    return {
        name: SiteGradients(sums.taylor.abs() / sequences, sums.fisher / sequences, sums.sensitivity / max(tokens, 1))
        for name, sums in found.items()
    }


def _pieces(batches: Sequence[Batch]) -> tuple[list[Batch], int]:
    """Pieces of a few sequences, in a random but fixed order, and the number of first pieces used for sensitivities.

    The sequences of a piece are neighbours in a batch and so of similar length, which keeps padding small.
    """
    pieces: list[Batch] = [
        {name: tensor[start : start + BACKWARD_SEQUENCES] for name, tensor in batch.items()}
        for batch in batches
        for start in range(0, len(batch["input_ids"]), BACKWARD_SEQUENCES)
    ]
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))
    pieces = [pieces[position] for position in order.tolist()]
    tokens = [int(piece["attention_mask"].sum()) for piece in pieces]
    enough = SENSITIVITY_SHARE * sum(tokens)
    return pieces, next(count for count, read in enumerate(accumulate(tokens), start=1) if read >= enough)


def _backward(
    adapter: Adapter, sites: list[Site], inputs: dict[str, Tensor], signs: torch.Generator | None, with_masks: bool
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """By name of the site: mask gradients (sequences, bundles), fp64 on the CPU, and traces summed over all tokens."""
    masks: dict[str, GradientEdge] = {}
    outputs: dict[str, GradientEdge] = {}
    handles = []
    try:
        for site in sites:
            consumer = adapter.consumer(site)
            handles.append(consumer.register_forward_hook(_keeping(outputs, site.name)))
            if with_masks:
                mask = consumer.weight.new_ones(len(inputs["input_ids"]), site.bundles).requires_grad_()
                masks[site.name] = get_gradient_edge(mask)
                handles.append(consumer.register_forward_pre_hook(_masking(mask, site.bundle_size)))
        with torch.enable_grad():
            answer, of_loss, of_signs = _slopes(adapter.model, inputs, signs, with_masks)
            by_mask = _pulled(answer, of_loss, masks, retain_graph=of_signs is not None)
            by_output = _pulled(answer, of_signs, outputs)
    finally:
        for handle in handles:
            handle.remove()
    # The consumer's output is added to the residual stream, so both have the same gradient.
    traces = {name: float(gradient.float().square().sum()) for name, gradient in by_output.items()}
    return {name: gradient.cpu().double() for name, gradient in by_mask.items()}, traces


def _pulled(
    answer: Tensor, slope: Tensor | None, of: Mapping[str, GradientEdge], *, retain_graph: bool = False
) -> dict[str, Tensor]:
    if slope is None or not of:
        return {}
    found = torch.autograd.grad(answer, list(of.values()), slope, retain_graph=retain_graph)
    return dict(zip(of, found, strict=True))


def _masking(mask: Tensor, bundle_size: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    channels = mask.repeat_interleave(bundle_size, dim=1).unsqueeze(1)

    def multiply(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0] * channels, *arguments[1:])

    return multiply


def _keeping(outputs: dict[str, GradientEdge], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that stores the edge of the output in the autograd graph, which keeps no values in memory."""

    def keep(_module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = get_gradient_edge(output if output.requires_grad else output.requires_grad_())

    return keep


# -- gradients at the input of the head -----------------------------------------------------------------------------


def _slopes(
    model: PreTrainedModel, inputs: dict[str, Tensor], signs: torch.Generator | None, with_loss: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The tensor to start backward passes from, and the gradients of the loss and of s^T F^(1/2) z there.

    It is the logits of a classifier, or the input of a language model's head, (sequences, length, width).
    """
    asked = {name: tensor for name, tensor in inputs.items() if name != "labels"}
    head = model.get_output_embeddings()
    if head is None:
        logits: Tensor = model(**asked, use_cache=False).logits
        problem, seen = problem_of(model.config), logits.detach()
        return (
            logits,
            _text_slope(problem, seen, inputs.get("labels")) if with_loss else None,
            _text_signs(problem, seen, signs) if signs is not None else None,
        )
    answer: Tensor = model.base_model(**asked, use_cache=False).last_hidden_state
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


def _loss_slope(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """Gradient of the cross entropy at ``logits`` (..., classes): (p - e_target) times the token's share in the mean.

    The loss is the sum over sequences of each sequence's mean, so a row of a mask depends on its own sequence only.
    """
    slope = logits.softmax(dim=-1)
    slope.scatter_add_(-1, targets.unsqueeze(-1), -torch.ones_like(targets, dtype=slope.dtype).unsqueeze(-1))
    return slope.mul_(shares.unsqueeze(-1))


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


def _fisher_signs(logits: Tensor, shares: Tensor, signs: torch.Generator) -> Tensor:
    """F^(1/2)^T s for random signs s; the expected squared norm of its gradient is the trace of the sensitivity."""
    slope = _signs(logits, signs)
    for seen, signed in zip(logits.flatten(0, -2).split(_ROWS), slope.flatten(0, -2).split(_ROWS), strict=True):
        p = seen.softmax(dim=-1)
        signed.mul_(p.sqrt())
        signed.sub_(p.mul_(signed.sum(dim=-1, keepdim=True)))
    return slope.mul_(shares.sqrt().unsqueeze(-1))


def _text_signs(problem: Problem, logits: Tensor, signs: torch.Generator) -> Tensor:
    """Random signs, centred for single-label problems, because only differences of logits matter there."""
    sign = _signs(logits, signs)
    return sign.sub_(sign.mean(dim=-1, keepdim=True)) if problem == "single-label" else sign


def _signs(like: Tensor, signs: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=signs, dtype=torch.int8)
    return drawn.to(like.device, like.dtype).mul_(2).sub_(1)


def _shares(inputs: dict[str, Tensor]) -> Tensor:
    """Weight of each predicted token in the mean of its sequence, (sequences, length - 1) fp32; zero for padding."""
    real = inputs["attention_mask"][:, 1:].float()
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)
