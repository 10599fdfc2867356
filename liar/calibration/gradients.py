"""Mask gradients and sensitivities of every site, from backward passes of the calibration text.

* Mask gradients for the criteria taylor and fisher: dL/dm of a mask m = 1 on every bundle, one sample at a time. A mask
  on a consumer's input multiplies the bundle's channels, so its gradient is sum_t x_t . (dL/dx_t) over tokens t.
* Sensitivities for the allocation loss-curve: the mean over tokens of tr(J^T F J) at the residual stream behind the
  site, J the Jacobian of the logits and F the Fisher metric diag(p) - p p^T of their softmax, so that sensitivity x
  E|error|^2 is twice the divergence KL(dense || pruned) caused by an error, to second order and averaged over its
  directions (Gauss-Newton). F nearly vanishes at confident predictions, even if pruning may change them, so for text
  classifiers F is the centring matrix, or the identity if the outputs are independent (regression, multi-label). For
  heads that mark an answer F is half the centring matrix over the real positions for the start, and half for the end. Of an
  embedder z is the unit vector of a text (:mod:`liar.models.embedder`) and F the identity, so that sensitivity x E|error|^2
  is |z' - z|^2 = 2 (1 - cosine) to second order.
  The trace is estimated with random signs s (Hutchinson 1989): one backward pass of s^T F^(1/2) z, z the logits, of a
  sample of the text (:mod:`liar.calibration.sample`). For two classes a fixed direction in place of s makes it exact.
* Second moments of the same gradients for the criterion kfac: the mean over tokens of J^T F J, whose trace is the sensitivity.
* Of an embedder also the coherence of the same gradients (:mod:`liar.calibration.coherence`).

Each backward pass starts from the slopes of :mod:`liar.calibration.output_gradients`. Several processes take turns with the
pieces of the text, and add up what each has found (:mod:`liar.runtime.distributed`). The signs of a piece depend on its
number alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from liar.calibration.activations import evaluating
from liar.calibration.coherence import Coherence
from liar.calibration.output_gradients import slopes
from liar.calibration.sample import divided, sensitivity_tokens, tokens_of
from liar.errors import InvalidSpecError
from liar.maths.criteria import SiteGradients
from liar.maths.moments import sum_dtype
from liar.models.adapter import Adapter
from liar.models.embedder import Embedder
from liar.models.heads import check_gradients, head_of
from liar.runtime.devices import Batch, execution_device, fast_products
from liar.runtime.distributed import is_own, summed
from liar.runtime.memory import BACKWARD_SEQUENCES
from liar.runtime.offload import is_offloaded
from liar.runtime.placement import release_freed
from liar.sites import Site
from liar.spec import Needs, Targets

Steps = Generator[tuple[int, int], None, dict[str, SiteGradients]]
"""Generator of (pieces done, pieces in all) that returns the gradients by name of the site."""


def gradient_steps(
    adapter: Adapter,
    batches: Sequence[Batch],
    targets: Targets,
    needs: Needs,
    embedder: Embedder | None = None,
) -> Steps:
    """Run the model forward and backward over ``batches``, a few sequences at a time.

    Masks take one backward pass, sensitivity and outputs share one. The loss of a language model is next-token cross
    entropy. The loss of a text classifier depends on :func:`liar.models.heads.problem_of`: cross entropy, binary cross
    entropy or squared error against the labels of the batch, else against the model's own prediction. For a regression
    without labels that error is zero, so the mean of its outputs replaces the loss. The loss of a head that marks an answer
    is the mean of the cross entropies of its start and its end among the real positions, against ``start_positions`` and
    ``end_positions`` of the batch, else the model's own. A model without a head is an ``embedder``, by default with mean
    pooling; its loss is the similarity of neighbouring texts. Raises :class:`InvalidSpecError` for a model without a usable
    loss, see :func:`liar.models.heads.check_gradients`, and if all gradients are zero.
    """
    check_gradients(head_of([type(adapter.model).__name__]), streamed=is_offloaded(adapter.model))
    sites = adapter.sites(targets)
    device = execution_device(adapter.model)
    drawn_on = device if device.type == "cuda" else "cpu"  # others have no generator of their own, or another one
    found: dict[str, SiteGradients] = {}  # sums over no sequence yet
    for site in sites:
        width, none = adapter.consumer(site).out_features, torch.zeros(site.bundles, dtype=torch.float64)
        outputs = torch.zeros(width, width, device=device, dtype=sum_dtype(device)) if needs.outputs else None
        found[site.name] = SiteGradients(none, none.clone(), outputs=outputs)
    alike = {site.name: Coherence() for site in sites}
    signs_wanted = needs.sensitivity or needs.outputs
    enough = sensitivity_tokens(adapter.widest, tokens_of(batches))
    sampled, others = divided(batches, enough) if signs_wanted else ([], batches)
    signed_pieces = _pieces(sampled)
    pieces = [*signed_pieces, *(_pieces(others) if needs.masks else [])]
    sequences = tokens = 0
    required = [parameter for parameter in adapter.model.parameters() if parameter.requires_grad]
    with evaluating(adapter.model):
        try:
            adapter.model.requires_grad_(False)
            for done, piece in enumerate(pieces, start=1):
                if is_own(done):
                    signs = torch.Generator(drawn_on).manual_seed(done) if done <= len(signed_pieces) else None
                    inputs = {name: tensor.to(device) for name, tensor in piece.items()}
                    with fast_products(adapter.model):
                        by_mask, by_site = _backward(adapter, sites, inputs, signs, needs.masks, embedder)
                    for name, gradient in by_mask.items():
                        found[name].taylor += gradient.sum(dim=0)
                        found[name].fisher += gradient.square().sum(dim=0)
                    for name, gradient in by_site.items():
                        # The consumer's output is added to the residual stream, so both have the same gradient.
                        rows = gradient.flatten(0, 1)
                        found[name].sensitivity += float(rows.square().sum())
                        if embedder is not None:
                            alike[name].update(gradient, inputs["attention_mask"])
                        if (product := found[name].outputs) is not None:
                            product += (rows.T @ rows).to(product.dtype)
                    sequences += len(inputs["input_ids"])
                    tokens += int(inputs["attention_mask"].sum()) if signs is not None else 0
                    del by_mask, by_site
                yield done, len(pieces)
        finally:
            for parameter in required:
                parameter.requires_grad_(True)
            release_freed()  # a backward pass holds more than any later stage
    sequences, tokens = _merge(found, alike, (sequences, tokens))
    if (needs.masks and not any(bool((sums.fisher > 0).any()) for sums in found.values())) or (
        signs_wanted and not any(sums.sensitivity > 0 for sums in found.values())
    ):
        raise InvalidSpecError(
            "No gradient of the loss at any site is above zero, so taylor, fisher, kfac and loss-curve have nothing "
            "to go by; check the weights of the model's head, take float32, or choose the criterion fluctuation or obs with "
            "the allocation error-curve."
        )
    for name, sums in found.items():
        sums.coherence = alike[name].value
        sums.taylor, sums.fisher = sums.taylor.abs() / sequences, sums.fisher / sequences
        sums.sensitivity /= max(tokens, 1)
        if sums.outputs is not None:
            sums.outputs /= max(tokens, 1)
    return found


def _merge(
    found: Mapping[str, SiteGradients], alike: Mapping[str, Coherence], counts: tuple[int, int]
) -> tuple[int, int]:
    """Add to ``found``, ``alike`` and ``counts`` what other processes have read, by one sum beside those of the outputs."""
    own = [torch.tensor(counts, dtype=torch.float64)]
    for name, each in found.items():
        numbers = [each.sensitivity, alike[name].pairs, alike[name].most]
        own += [torch.tensor(numbers, dtype=torch.float64), each.taylor, each.fisher]
    counted, *merged = summed(torch.cat(own)).split([len(part) for part in own])
    for (name, each), numbers_of_all, taylor, fisher in zip(
        found.items(), merged[::3], merged[1::3], merged[2::3], strict=True
    ):
        each.sensitivity, alike[name].pairs, alike[name].most = numbers_of_all.tolist()
        each.taylor, each.fisher = taylor, fisher
        if each.outputs is not None:
            summed(each.outputs)
    return int(counted[0]), int(counted[1])


def _pieces(batches: Sequence[Batch]) -> list[Batch]:
    """Pieces of a few sequences, as one backward pass takes them.

    The sequences of a piece are neighbours in a batch and so of similar length, which keeps padding small.
    """
    return [
        {name: tensor[start : start + BACKWARD_SEQUENCES] for name, tensor in batch.items()}
        for batch in batches
        for start in range(0, len(batch["input_ids"]), BACKWARD_SEQUENCES)
    ]


def _backward(
    adapter: Adapter,
    sites: list[Site],
    inputs: dict[str, Tensor],
    signs: torch.Generator | None,
    with_masks: bool,
    embedder: Embedder | None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By name of the site: mask gradients (sequences, bundles), fp64 on the CPU, and gradients at outputs (sequences, length,
    d_out).
    """
    masks: dict[str, GradientEdge] = {}
    outputs: dict[str, GradientEdge] = {}  # edges of the autograd graph keep no values in memory
    handles = []

    def keep(name: str, _module: nn.Module, _arguments: object, output: Tensor) -> None:
        outputs[name] = get_gradient_edge(output if output.requires_grad else output.requires_grad_())

    def masked(channels: Tensor, _module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows = arguments[0]
        by_sequence = rows.view(len(channels), -1, rows.shape[-1])  # OPT flattens them
        return ((by_sequence * channels).view_as(rows), *arguments[1:])

    try:
        for site in sites:
            consumer = adapter.consumer(site)
            handles.append(consumer.register_forward_hook(partial(keep, site.name)))
            if with_masks:
                mask = consumer.weight.new_ones(len(inputs["input_ids"]), site.bundles).requires_grad_()
                masks[site.name] = get_gradient_edge(mask)
                channels = mask.repeat_interleave(site.bundle_size, dim=1).unsqueeze(1)
                handles.append(consumer.register_forward_pre_hook(partial(masked, channels)))
        with torch.enable_grad():
            answer, of_loss, of_signs = slopes(adapter.model, inputs, signs, with_masks, embedder)
            by_mask = _pulled(answer, of_loss, masks, retain_graph=of_signs is not None)
            by_output = _pulled(answer, of_signs, outputs)
    finally:
        for handle in handles:
            handle.remove()
    sequences = len(inputs["input_ids"])
    rows = {name: gradient.float().view(sequences, -1, gradient.shape[-1]) for name, gradient in by_output.items()}
    return {name: gradient.cpu().double() for name, gradient in by_mask.items()}, rows


def _pulled(
    answer: Tensor, slope: Tensor | None, of: Mapping[str, GradientEdge], *, retain_graph: bool = False
) -> dict[str, Tensor]:
    if slope is None or not of:
        return {}
    found = torch.autograd.grad(answer, list(of.values()), slope, retain_graph=retain_graph)
    return dict(zip(of, found, strict=True))
