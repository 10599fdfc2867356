"""Mask gradients for the criteria taylor and fisher: dL/dm of a mask m = 1 on every bundle, one sample at a time.

A mask on a consumer's input multiplies the bundle's channels, so its gradient is sum_t x_t . (dL/dx_t) over the tokens of
the sequence: one backward pass at calibration, and nothing but two numbers a bundle is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liar.criteria import GradientScores
from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter, Batch, Site, execution_device
from liar.spec import Targets
from liar.walk import evaluating

_SEQUENCES_AT_ONCE = 2
"""Backward keeps every activation of the sequences in flight."""


def gradient_steps(
    adapter: Adapter, batches: Sequence[Batch], targets: Targets
) -> Iterator[tuple[int, int, dict[str, GradientScores]]]:
    """Yield (done, total, scores so far by site name); the scores are complete when done equals total.

    The loss of a language model is next-token cross entropy; a classifier's uses the labels of the batch, else the model's
    own prediction. Raises :class:`InvalidSpecError` for a model without a head.
    """
    sites = adapter.sites(targets)
    device = execution_device(adapter.model)
    first = {site.name: torch.zeros(site.bundles, dtype=torch.float64) for site in sites}
    squared = {site.name: torch.zeros(site.bundles, dtype=torch.float64) for site in sites}
    pieces = [piece for batch in batches for piece in _pieces(batch)]
    sequences = 0
    required = [parameter for parameter in adapter.model.parameters() if parameter.requires_grad]
    with evaluating(adapter.model):
        try:
            for parameter in required:
                parameter.requires_grad_(False)
            for done, piece in enumerate(pieces, start=1):
                inputs = {name: tensor.to(device) for name, tensor in piece.items()}
                masks = _mask_gradients(adapter, sites, inputs)
                for name, gradient in masks.items():
                    first[name] += gradient.sum(dim=0)
                    squared[name] += gradient.square().sum(dim=0)
                sequences += len(inputs["input_ids"])
                yield (
                    done,
                    len(pieces),
                    {name: GradientScores(first[name].abs() / sequences, squared[name] / sequences) for name in first},
                )
        finally:
            for parameter in required:
                parameter.requires_grad_(True)


def _pieces(batch: Batch) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(batch["input_ids"]), _SEQUENCES_AT_ONCE):
        yield {name: tensor[start : start + _SEQUENCES_AT_ONCE] for name, tensor in batch.items()}


def _mask_gradients(adapter: Adapter, sites: list[Site], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """(sequences, bundles) of each site, fp64 on the CPU."""
    masks: dict[str, Tensor] = {}
    handles = []
    try:
        for site in sites:
            consumer = adapter.consumer(site)
            mask = torch.ones(
                len(inputs["input_ids"]), site.bundles, device=inputs["input_ids"].device, dtype=consumer.weight.dtype
            ).requires_grad_()
            masks[site.name] = mask
            handles.append(consumer.register_forward_pre_hook(_masking(mask, site.bundle_size)))
        with torch.enable_grad():
            loss = _loss(adapter.model, inputs)
            gradients = torch.autograd.grad(loss, list(masks.values()))
    finally:
        for handle in handles:
            handle.remove()
    return {name: gradient.double().cpu() for name, gradient in zip(masks, gradients, strict=True)}


def _masking(mask: Tensor, bundle_size: int):  # type: ignore[no-untyped-def]
    channels = mask.repeat_interleave(bundle_size, dim=1).unsqueeze(1)

    def multiply(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0] * channels, *arguments[1:])

    return multiply


def _loss(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Sum over sequences of each sequence's mean loss, so that every row of a mask sees its own sequence only."""
    output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    logits = getattr(output, "logits", None)
    if logits is None:
        raise InvalidSpecError(
            "This model has no head to take a loss from; choose a criterion other than taylor or fisher."
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.ndim == 2:
        labels = inputs.get("labels")
        return F.cross_entropy(logits, logits.argmax(dim=-1) if labels is None else labels, reduction="sum")
    targets = inputs["input_ids"][:, 1:]
    real = inputs["attention_mask"][:, 1:].to(logits.dtype)
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none") * real
    return (losses.sum(dim=1) / real.sum(dim=1).clamp_min(1)).sum()
