"""What the loss says of every site, from one backward pass of the calibration text.

* Mask gradients for the criteria taylor and fisher: dL/dm of a mask m = 1 on every bundle, one sample at a time. A mask on a
  consumer's input multiplies the bundle's channels, so its gradient is sum_t x_t . (dL/dx_t) over the tokens of the sequence.
* Token weights for the allocation loss-curve: |dL/dh_t|^2 at the residual stream behind the site, so that
  E[|dL/dh_t|^2 |error_t|^2] is what an error costs the loss, to second order and with the directions averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter, Batch, Site, execution_device
from liar.spec import Targets
from liar.walk import evaluating

_SEQUENCES_AT_ONCE = 2
"""Backward keeps every activation of the sequences in flight."""


@dataclass(slots=True)
class SiteGradients:
    """``taylor`` and ``fisher`` are (bundles,) fp64; ``tokens`` holds (sequences, length) for each batch of the text."""

    taylor: Tensor
    fisher: Tensor
    tokens: list[Tensor] = field(default_factory=list)


Steps = Generator[tuple[int, int], None, dict[str, SiteGradients]]
"""Yields (pieces done, pieces in all); its value is the gradients of each site by name."""


def gradient_steps(adapter: Adapter, batches: Sequence[Batch], targets: Targets) -> Steps:
    """Run the model forward and backward over ``batches``, a few sequences at a time.

    The loss of a language model is next-token cross entropy; a classifier's uses the labels of the batch, else the
    model's own prediction. Raises :class:`InvalidSpecError` for a model without a head.
    """
    sites = adapter.sites(targets)
    device = execution_device(adapter.model)
    sums = {
        site.name: SiteGradients(torch.zeros(site.bundles).double(), torch.zeros(site.bundles).double())
        for site in sites
    }
    total = sum(len(_starts(batch)) for batch in batches)
    sequences = done = 0
    required = [parameter for parameter in adapter.model.parameters() if parameter.requires_grad]
    with evaluating(adapter.model):
        try:
            for parameter in required:
                parameter.requires_grad_(False)
            for batch in batches:
                rows: dict[str, list[Tensor]] = {site.name: [] for site in sites}
                for start in _starts(batch):
                    piece = {name: tensor[start : start + _SEQUENCES_AT_ONCE] for name, tensor in batch.items()}
                    masks, tokens = _backward(adapter, sites, {name: rows.to(device) for name, rows in piece.items()})
                    for name, found in sums.items():
                        found.taylor += masks[name].sum(dim=0)
                        found.fisher += masks[name].square().sum(dim=0)
                        rows[name].append(tokens[name])
                    sequences += len(piece["input_ids"])
                    done += 1
                    yield done, total
                for name, found in sums.items():
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
    adapter: Adapter, sites: list[Site], inputs: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of each site: mask gradients (sequences, bundles) fp64 on the CPU, and |dL/dh|^2 (sequences, length) fp32."""
    masks: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    handles = []
    try:
        for site in sites:
            consumer = adapter.consumer(site)
            mask = torch.ones(
                len(inputs["input_ids"]), site.bundles, device=inputs["input_ids"].device, dtype=consumer.weight.dtype
            ).requires_grad_()
            masks[site.name] = mask
            handles.append(consumer.register_forward_pre_hook(_masking(mask, site.bundle_size)))
            handles.append(consumer.register_forward_hook(_keeping(outputs, site.name)))
        with torch.enable_grad():
            loss = _loss(adapter.model, inputs)
            found = torch.autograd.grad(loss, [*masks.values(), *outputs.values()])
    finally:
        for handle in handles:
            handle.remove()
    mask_gradients = {name: gradient.cpu().double() for name, gradient in zip(masks, found, strict=False)}
    # The consumer's output is added to the stream, so both have the same gradient.
    streams = zip(outputs, found[len(masks) :], strict=True)
    return mask_gradients, {name: gradient.float().square().sum(dim=-1) for name, gradient in streams}


def _masking(mask: Tensor, bundle_size: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    channels = mask.repeat_interleave(bundle_size, dim=1).unsqueeze(1)

    def multiply(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0] * channels, *arguments[1:])

    return multiply


def _keeping(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(_module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    return keep


def _loss(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Sum over sequences of each sequence's mean loss, so that every row of a mask sees its own sequence only."""
    output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    logits = getattr(output, "logits", None)
    if logits is None:
        raise InvalidSpecError(
            "This model has no head to take a loss from; choose another criterion than taylor and fisher, and another "
            "allocation than loss-curve."
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.ndim == 2:
        labels = inputs.get("labels")
        return F.cross_entropy(logits, logits.argmax(dim=-1) if labels is None else labels, reduction="sum")
    targets = inputs["input_ids"][:, 1:]
    real = inputs["attention_mask"][:, 1:].to(logits.dtype)
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view_as(targets) * real
    return (losses.sum(dim=1) / real.sum(dim=1).clamp_min(1)).sum()
