"""What runs of consecutive blocks add to the residual stream, seen from the consumer before them: one forward of the text.

For a run behind block s, x is the input of that block's FFN consumer, z the residual stream behind the block, y that behind
the run, and D = y - z what the run adds; a patch (:mod:`liar.maths.patch`) needs the moments of x and the covariance of x
with D. The few tokens with massive activations count as ones to which the run adds nothing, since the least-squares map
would serve them alone; norm-aware errors, which choose the run and are reported, have the true D of each token.

>>> import torch
>>> from liar import load_model
>>> from liar.calibration.block_statistics import spans
>>> batch = {"input_ids": torch.arange(32).view(2, 16), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
>>> [(span.start.layer, list(span.removed)) for span in spans(load_model("tiny").adapter, [batch], [1])]
[(0, [1])]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from liar.calibration.activations import evaluating
from liar.calibration.sample import MEAN_TOKENS, every, stride, tokens_of
from liar.choices import Reconstruction
from liar.maths.drift import Drift, DriftAccumulator, ordinary
from liar.maths.merging import merge
from liar.maths.moments import Moments, MomentsAccumulator
from liar.maths.patch import factor_of, patches
from liar.maths.reconstruct import Solution
from liar.models.adapter import Adapter, Stream
from liar.models.heads import answers_every_token
from liar.runtime.devices import Batch, fast_products
from liar.runtime.distributed import gathered, processes, shares, summed
from liar.runtime.offload import resident
from liar.sites import Site

Errors = dict[Reconstruction, float]


@dataclass(frozen=True)
class Start:
    """A block behind which a run may go: the ``inputs`` (real tokens, d) of the consumer at ``site`` and the residual
    ``streams`` (real tokens, width) behind it, of each batch, and the ``moments`` of the inputs.

    ``reported`` are the tokens of each batch that norm-aware errors are means of. Without ``intercept`` least-squares has no
    bias.
    """

    site: Site
    inputs: list[Tensor]
    streams: list[Tensor]
    moments: Moments
    reported: list[slice | Tensor]
    intercept: bool = True

    @property
    def layer(self) -> int:
        return self.site.layer

    @cached_property
    def factor(self) -> Tensor:
        """See :func:`liar.maths.patch.factor_of`; it serves runs of every length."""
        return factor_of(self.fitted, site=self.site.name)

    @cached_property
    def fitted(self) -> Moments:
        """The moments that least-squares is solved by."""
        return self.moments if self.intercept else self.moments.about_zero


@dataclass(frozen=True)
class Span:
    """The run of ``blocks`` blocks behind ``start``: what it has ``lost``, and the residual streams behind it."""

    start: Start
    blocks: int
    lost: Drift
    ends: list[Tensor]
    ordinary: list[Tensor]

    @property
    def removed(self) -> range:
        """Indices of the blocks."""
        return range(self.start.layer + 1, self.start.layer + 1 + self.blocks)

    @torch.no_grad()
    def patches(self, weight: Tensor, methods: Iterable[Reconstruction]) -> dict[Reconstruction, Solution]:
        """Patches of the consumer's ``weight`` (d, d_out), see :func:`liar.maths.patch.patches`."""
        start, methods = self.start, list(methods)
        fits = [name for name in methods if name == "least-squares"]
        lost = self.lost if start.intercept else self.lost.about_zero(start.moments.mean)
        found = patches(start.moments, self.lost, weight, set(methods) - set(fits), site=start.site.name)
        found |= patches(start.fitted, lost, weight, fits, factor=start.factor if fits else None, site=start.site.name)
        return {name: found[name] for name in methods}

    @torch.no_grad()
    def errors(self, weight: Tensor, found: dict[Reconstruction, Solution], *, norm_aware: bool) -> Errors:
        """E|y' - y|^2 / E|y|^2 of the patches ``found``, without massive tokens; norm-aware ones are E[|y' - y|^2 / |y|^2] of
        a sample of all tokens.
        """
        sums = torch.zeros(len(found) + 1, dtype=torch.float64)
        for place, end in enumerate(self.ends):
            chosen = self.start.reported[place] if norm_aware else slice(None)
            rows = (self.start.inputs[place], self.start.streams[place], end, self.ordinary[place])
            dtype = torch.promote_types(end.dtype, torch.float32)
            x, z, y, is_ordinary = (each[chosen].to(dtype) for each in rows)
            energy = y.square().sum(dim=1)
            lost = y - z if norm_aware else (y - z) * is_ordinary
            weights = 1 / energy.clamp_min(torch.finfo(energy.dtype).tiny) if norm_aware else torch.ones_like(energy)
            sums[-1] += len(y) if norm_aware else float(energy @ is_ordinary.squeeze(1))
            for row, patch in enumerate(found.values()):
                change = (patch.weight - weight).to(x.device, x.dtype)
                left = lost - patch.bias_change.to(x.device, x.dtype)
                left = left - x @ change if change.any() else left
                sums[row] += float(weights @ left.square().sum(dim=1))
        *errors, total = summed(sums).tolist()
        return {name: error / total if total else 0.0 for name, error in zip(found, errors, strict=True)}


@torch.no_grad()
def spans(
    adapter: Adapter,
    batches: Sequence[Batch],
    lengths: Collection[int],
    *,
    before: int | None = None,
    fast: bool = False,
    intercept: bool = True,
) -> Iterator[Span]:
    """Every run whose number of blocks is one of ``lengths``, by its end; only behind block ``before`` if that is given.

    ``fast``: for errors that choose a run, not for a patch, see :mod:`liar.runtime.devices`. Without ``intercept``
    least-squares has no bias. Streams are in the units of a consumer's output
    (:attr:`liar.models.adapter.Adapter.multiplier`). The inputs of as many blocks as the longest run has are in memory at once,
    of runs behind one block those of this one. Raises :class:`NonFiniteError` and :class:`CalibrationError`, which name the
    site.
    """
    with evaluating(adapter.model):
        streams = [adapter.embed(batch) for batch in shares(batches)]
        tokens, layers, longest = tokens_of(batches), len(adapter.layers), max(lengths)
        starts: list[Start] = []
        for layer in range(layers if before is None else before + longest + 1):
            site = adapter.site(layer, "ffn")
            with resident(adapter.layers[layer]), fast_products(adapter.model) if fast else nullcontext():
                inputs = [advance(adapter, layer, stream) for stream in streams]
            ends = [stream.real(stream.hidden) for stream in streams]
            if adapter.multiplier != 1:
                ends = [end / adapter.multiplier for end in ends]
            for start in starts:
                if layer - start.layer in lengths:
                    yield _span(start, layer, ends)
            starts = [start for start in starts if start.layer + longest > layer]
            if layer + min(lengths) < layers if before is None else layer == before:
                reported = [_tokens_of(stream, stride(tokens, site.channels, MEAN_TOKENS)) for stream in streams]
                starts.append(Start(site, inputs, ends, _moments(adapter, site, inputs), reported, intercept))


def advance(adapter: Adapter, layer: int, stream: Stream) -> Tensor:
    """Run a block on a batch, which changes ``stream``; the inputs of its FFN consumer, (real tokens, channels)."""
    *_, rows = [adapter.advance(half, stream)[0] for half in adapter.halves(layer)]
    return stream.real(rows)


def _moments(adapter: Adapter, site: Site, inputs: list[Tensor]) -> Moments:
    accumulator = MomentsAccumulator(
        site.channels, inputs[0].device, inputs[0].dtype, all_answer=answers_every_token(adapter.model)
    )
    for rows in inputs:
        accumulator.update(rows)
    if processes() > 1:
        merge([accumulator], summed)
    return accumulator.finish(site.name)


def _span(start: Start, last: int, ends: list[Tensor]) -> Span:
    accumulator = DriftAccumulator(start.site.channels, ends[0].shape[-1], ends[0].device, ends[0].dtype)
    at_both = zip(ordinary(start.streams, gathered), ordinary(ends, gathered), strict=True)
    masks = [at_start * at_end for at_start, at_end in at_both]
    for inputs, z, y, is_ordinary in zip(start.inputs, start.streams, ends, masks, strict=True):
        accumulator.update(inputs, (y.to(accumulator.dtype) - z) * is_ordinary)
    if processes() > 1:
        merge([accumulator], summed)
    return Span(start, last - start.layer, accumulator.finish(), ends, masks)


def _tokens_of(stream: Stream, stride: float) -> slice | Tensor:
    """Places, among the real tokens of a batch, of those of every ``stride``-th sequence."""
    chosen = every(stride, len(stream.hidden))
    if isinstance(chosen, slice):
        return chosen
    taken = torch.zeros(stream.hidden.shape[:2], dtype=torch.bool, device=stream.hidden.device)
    taken[chosen] = True
    return stream.real(taken).nonzero().flatten()
