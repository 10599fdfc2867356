"""What the loss says of every site, from one backward pass of the calibration text.

* Mask gradients for the criteria taylor and fisher: dL/dm of a mask m = 1 on every bundle, one sample at a time. A mask on a
  consumer's input multiplies the bundle's channels, so its gradient is sum_t x_t . (dL/dx_t) over the tokens of the sequence.
* Token weights for the allocation loss-curve: tr(J^T F J) at the residual stream behind the site, J the Jacobian of the
  logits and F the Fisher metric diag(p) - p p^T of their softmax, so that E[weight_t |error_t|^2] is twice the divergence
  KL(dense || pruned) that an error costs, to second order and with its directions averaged (Gauss-Newton). A confident
  classifier has hardly a metric where it will soon need one, so there F only centres the logits. The trace is estimated
  by random signs (Hutchinson 1989): one backward pass of s^T F^(1/2) z.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter, Batch, execution_device
from liar.sites import Site
from liar.spec import Targets
from liar.walk import evaluating

_SEQUENCES_AT_ONCE = 2
"""Backward keeps every activation of the sequences in flight."""


@dataclass(slots=True)
class SiteGradients:
    """``taylor`` and ``fisher`` are (bundles,) fp64; ``tokens`` holds (sequences, length) for each batch of the text.

    What nobody asked for is zero, or empty.
    """

    taylor: Tensor
    fisher: Tensor
    tokens: list[Tensor] = field(default_factory=list)


Steps = Generator[tuple[int, int], None, dict[str, SiteGradients]]
"""Yields (pieces done, pieces in all); its value is the gradients of each site by name."""


def gradient_steps(
    adapter: Adapter, batches: Sequence[Batch], targets: Targets, *, masks: bool = True, tokens: bool = True
) -> Steps:
    """Run the model forward and backward over ``batches``, a few sequences at a time.

    ``masks`` and ``tokens`` say what is wanted; each takes a backward pass. The loss of a language model is next-token
    cross entropy; a classifier's uses the labels of the batch, else the model's own prediction. Raises
    :class:`InvalidSpecError` for a model without a head.
    """
    sites = adapter.sites(targets)
    device = execution_device(adapter.model)
    sums = {
        site.name: SiteGradients(torch.zeros(site.bundles).double(), torch.zeros(site.bundles).double())
        for site in sites
    }
    total = sum(len(_starts(batch)) for batch in batches)
    sequences = done = 0
    signs = torch.Generator().manual_seed(0)
    required = [parameter for parameter in adapter.model.parameters() if parameter.requires_grad]
    with evaluating(adapter.model):
        try:
            for parameter in required:
                parameter.requires_grad_(False)
            for batch in batches:
                rows: dict[str, list[Tensor]] = {site.name: [] for site in sites}
                for start in _starts(batch):
                    piece = {name: tensor[start : start + _SEQUENCES_AT_ONCE] for name, tensor in batch.items()}
                    inputs = {name: tensor.to(device) for name, tensor in piece.items()}
                    of_mask, of_token = _backward(adapter, sites, inputs, signs if tokens else None, masks)
                    for name, gradient in of_mask.items():
                        sums[name].taylor += gradient.sum(dim=0)
                        sums[name].fisher += gradient.square().sum(dim=0)
                    for name, weight in of_token.items():
                        rows[name].append(weight)
                    sequences += len(piece["input_ids"])
                    done += 1
                    yield done, total
                for name, found in sums.items() if tokens else ():
                    found.tokens.append(torch.cat(rows[name]))
        finally:
            for parameter in required:
                parameter.requires_grad_(True)
    return {
        name: SiteGradients(found.taylor.abs() / sequences, found.fisher / sequences, found.tokens)
        for name, found in sums.items()
    }


def _starts(batch: Batch) -> range:
    return range(0, len(batch["input_ids"]), _SEQUENCES_AT_ONCE)


def _backward(
    adapter: Adapter, sites: list[Site], inputs: dict[str, Tensor], signs: torch.Generator | None, with_masks: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of each site: mask gradients (sequences, bundles) fp64 on the CPU, and token weights (sequences, length) fp32."""
    masks: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    handles = []
    try:
        for site in sites:
            consumer = adapter.consumer(site)
            handles.append(consumer.register_forward_hook(_keeping(outputs, site.name)))
            if with_masks:
                mask = consumer.weight.new_ones(len(inputs["input_ids"]), site.bundles).requires_grad_()
                masks[site.name] = mask
                handles.append(consumer.register_forward_pre_hook(_masking(mask, site.bundle_size)))
        with torch.enable_grad():
            logits = _logits(adapter.model, inputs)
            by_mask = _gradients(_loss(logits, inputs), masks, retain_graph=signs is not None)
            by_output = _gradients(_signed(logits, inputs, signs), outputs) if signs is not None else {}
    finally:
        for handle in handles:
            handle.remove()
    # The consumer's output is added to the stream, so both have the same gradient.
    weights = {name: gradient.float().square().sum(dim=-1) for name, gradient in by_output.items()}
    return {name: gradient.cpu().double() for name, gradient in by_mask.items()}, weights


def _gradients(scalar: Tensor, of: dict[str, Tensor], *, retain_graph: bool = False) -> dict[str, Tensor]:
    found = torch.autograd.grad(scalar, list(of.values()), retain_graph=retain_graph) if of else ()
    return dict(zip(of, found, strict=True))


def _masking(mask: Tensor, bundle_size: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    channels = mask.repeat_interleave(bundle_size, dim=1).unsqueeze(1)

    def multiply(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0] * channels, *arguments[1:])

    return multiply


def _keeping(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(_module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output if output.requires_grad else output.requires_grad_()

    return keep


def _logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """(sequences, classes) of a classifier, (sequences, length, vocabulary) of a language model, at least fp32."""
    output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    logits: Tensor | None = getattr(output, "logits", None)
    if logits is None:
        raise InvalidSpecError(
            "This model has no head to take a loss from; choose another criterion than taylor and fisher, and another "
            "allocation than loss-curve."
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _loss(logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """Sum over sequences of each sequence's mean loss, so that every row of a mask sees its own sequence only."""
    if logits.ndim == 2:
        labels = inputs.get("labels")
        return F.cross_entropy(logits, logits.argmax(dim=-1) if labels is None else labels, reduction="sum")
    targets = inputs["input_ids"][:, 1:]
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    return (losses * _shares(inputs, losses)).sum()


def _signed(logits: Tensor, inputs: dict[str, Tensor], signs: torch.Generator) -> Tensor:
    """s^T F^(1/2) z under random signs s: the squared gradient of this is, on average, the trace that is wanted."""
    if logits.ndim == 3:
        logits = logits[:, :-1]
    with torch.no_grad():
        sign = torch.empty(logits.shape, dtype=logits.dtype).bernoulli_(0.5, generator=signs).mul_(2).sub_(1)
        sign = sign.to(logits.device)
        if logits.ndim == 2:
            direction = sign - sign.mean(dim=-1, keepdim=True)
        else:
            p = logits.softmax(dim=-1)
            sign *= p.sqrt()
            direction = torch.addcmul(sign, p, sign.sum(dim=-1, keepdim=True), value=-1)
            direction *= _shares(inputs, logits).sqrt().unsqueeze(-1)
    return (logits * direction).sum()


def _shares(inputs: dict[str, Tensor], like: Tensor) -> Tensor:
    """What each predicted token weighs in the mean of its sequence, (sequences, length - 1); padding weighs nothing."""
    real = inputs["attention_mask"][:, 1:].to(like)
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)
