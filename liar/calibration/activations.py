"""The walk: one forward of the calibration text, block by block and site by site, that yields the moments of each site.

Layers are the outer loop and batches the inner one, so only one block at a time needs to be on the accelerator. The
same walk serves every schedule: one-shot passes the dense outputs on; sequential lets the caller prune the site first
and then passes on the outputs of the pruned site; corrective does so too, and runs each block before it is pruned on the
dense stream as well, which gives the drift of the sites pruned so far, and at the end the attenuation
(:mod:`liar.maths.drift`). Norm-aware moments, which are reported or allocate, are of a sample of the tokens
(:mod:`liar.calibration.sample`).

Each of several processes reads its share of the batches, and the moments of every site are merged before it is visited
(:mod:`liar.runtime.distributed`), so that all of them make the same of it.

>>> import torch
>>> from liar import load_model
>>> from liar.calibration.activations import walk
>>> batch = {"input_ids": torch.arange(32).view(2, 16), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
>>> [(visit.site.name, visit.moments.plain.tokens) for visit in walk(load_model("tiny").adapter, [batch], "ffn")]
[('layers.0.ffn', 32), ('layers.1.ffn', 32)]
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from liar.calibration.coherence import mean_weights, text_means
from liar.calibration.sample import MEAN_TOKENS, every, stride, tokens_of
from liar.maths.drift import Drift, DriftAccumulator, attenuation, ordinary, share_of
from liar.maths.merging import merge
from liar.maths.moments import SiteMoments, SiteMomentsAccumulator
from liar.models.adapter import Adapter, Stream
from liar.models.heads import answers_every_token, is_overconfident
from liar.runtime.devices import Batch, fast_products
from liar.runtime.distributed import gathered, processes, shares, summed
from liar.runtime.offload import resident
from liar.sites import Site
from liar.spec import Schedule, Targets


@dataclass(slots=True)
class Visit:
    """One visited site: its block is on the device, its ``moments`` are complete (freed when the walk resumes).

    A corrective walk gives the share of the ``drift`` behind the site that its repair compensates; None before the first
    site that is cut. Unless the walk is one-shot, set ``kept`` to the kept channels after shrinking the site.
    """

    site: Site
    moments: SiteMoments
    drift: Drift | None = None
    kept: Tensor | None = None


def walk(
    adapter: Adapter,
    batches: Sequence[Batch],
    targets: Targets,
    *,
    schedule: Schedule = "one-shot",
    norm_aware: int = MEAN_TOKENS,
    unseen: Sequence[Batch] = (),
    coherence: Mapping[str, float] | None = None,
    on_attenuation: Callable[[float], None] = lambda _: None,
) -> Iterator[Visit]:
    """Visit every targeted site in the order of the forward.

    Norm-aware moments are of ``norm_aware`` tokens for each channel: few for errors that are reported, more for curves
    (:mod:`liar.calibration.sample`), 0 for none. ``coherence``, by name of the site, is that of an embedder, whose moments hold
    the means of texts as well (:mod:`liar.calibration.coherence`).
    A corrective walk that has cut a model with a last norm, and with more than one output, ends by calling ``on_attenuation``
    with the factor of the norm's gain. It is fitted to the ``unseen`` text, which enters no moments, or else to ``batches``.
    Raises :class:`NonFiniteError` and :class:`CalibrationError`, which name the site. Closing it frees the memory.
    """
    with evaluating(adapter.model):
        seen = [adapter.embed(batch) for batch in shares(batches)]
        aside = [adapter.embed(batch) for batch in shares(unseen)] if unseen else []
        dense = [replace(stream) for stream in [*seen, *aside]] if schedule == "corrective" else []
        wanted = {site.kind for site in adapter.sites(targets)}
        tokens, last = tokens_of(batches), len(adapter.layers) - 1
        cut = False
        for layer, block in enumerate(adapter.layers):
            with resident(block):
                for site in adapter.halves(layer):
                    if (layer, site.kind) == (last, "ffn") and "ffn" not in wanted and not dense:
                        break  # no site after this one is visited
                    adapter.check_finite(site)
                    with fast_products(adapter.model):
                        behind = [adapter.advance(site, stream)[1] for stream in dense]
                    rest = [*seen, *aside]
                    if site.kind in wanted:
                        step = stride(tokens, site.channels, norm_aware) if norm_aware else None
                        before = behind[: len(seen)] if cut else []
                        alike = (coherence or {}).get(site.name, 0.0)
                        cut |= yield from _visit(adapter, site, seen, schedule != "one-shot", before, step, alike)
                        rest = aside
                    for stream in rest:
                        adapter.advance(adapter.site(layer, site.kind), stream)
        norm = adapter.last_norm() if is_overconfident(adapter.model) else None
        if cut and dense and norm is not None:
            fitted = aside or seen
            some = stride(tokens_of(unseen or batches), adapter.widest, MEAN_TOKENS)
            on_attenuation(_attenuation(norm, dense[-len(fitted) :], fitted, some))


@torch.no_grad()
def _attenuation(norm: nn.Module, dense: list[Stream], pruned: list[Stream], stride: float) -> float:
    """The attenuation by every ``stride``-th sequence of each batch: a mean over tokens, for which some suffice."""

    def states(streams: list[Stream]) -> list[Tensor]:
        chosen = [every(stride, len(stream.hidden)) for stream in streams]
        return [stream.real(norm(stream.hidden[some]), some) for stream, some in zip(streams, chosen, strict=True)]

    with resident(norm):
        return attenuation(states(dense), states(pruned), summed)


def _visit(
    adapter: Adapter,
    site: Site,
    streams: list[Stream],
    sequential: bool,
    dense: list[Tensor],
    norm_aware_stride: float | None,
    coherence: float,
) -> Generator[Visit, None, bool]:
    """Run one half of a block on this process's batches; yield a visit, and return whether it cut.

    The visit has a share of the drift from ``dense``, the residual stream of each batch behind the site in the dense model;
    empty for none. Norm-aware moments are of every ``norm_aware_stride``-th sequence of each batch, None for no such moments.
    All of them hold the means of the texts too if there is a ``coherence``.
    """
    weight, is_norm_aware = adapter.consumer(site).weight, norm_aware_stride is not None
    accumulator = SiteMomentsAccumulator(
        site.channels,
        weight.device,
        weight.dtype,
        norm_aware=is_norm_aware,
        all_answer=answers_every_token(adapter.model),
    )
    drift: DriftAccumulator | None = None
    if dense:
        drift = DriftAccumulator(site.channels, weight.shape[0], weight.device, weight.dtype)
        before = [stream.real(total) for stream, total in zip(streams, dense, strict=True)]
        ordinaries = ordinary(before, gathered)
    inputs: list[Tensor] = []
    for place, stream in enumerate(streams):
        rows = adapter.read(site, stream)
        chosen = every(norm_aware_stride or 1.0, len(rows))
        if not sequential:
            whole, stream.hidden = adapter.pass_on(site, rows, stream.hidden)
            total = whole[chosen]
        else:
            inputs.append(rows)  # all of them pass the consumer once it is repaired
            if drift is not None:
                with fast_products(adapter.model):
                    whole, _ = adapter.pass_on(site, rows, stream.hidden)
                lost = before[place].to(drift.dtype) - stream.real(whole)
                _update_drift(drift, stream, rows, lost * ordinaries[place], coherence)
                total = whole[chosen]
            elif is_norm_aware:
                total, _ = adapter.pass_on(site, rows[chosen], stream.hidden[chosen])
        _update(accumulator, stream, rows, (chosen, total) if is_norm_aware else None, coherence)
    if processes() > 1:
        merge([*accumulator.parts, *([] if drift is None else [drift])], summed)
    share = share_of(site.layer, len(adapter.layers))
    stop = Visit(site, accumulator.finish(site.name), None if drift is None else drift.finish().times(share))
    del accumulator, drift
    yield stop
    del stop.moments  # free them now: the loop of the caller holds the visit until the next one
    stop.drift = None
    for stream in streams if sequential else []:
        rows = inputs.pop(0)
        kept_rows = rows if stop.kept is None else rows[..., stop.kept]
        stream.hidden = adapter.pass_on(site, kept_rows, stream.hidden)[1]
    return stop.kept is not None and len(stop.kept) < site.channels


def _update(
    accumulator: SiteMomentsAccumulator,
    stream: Stream,
    rows: Tensor,
    norm_aware: tuple[slice | Tensor, Tensor] | None,
    coherence: float,
) -> None:
    """Merge a consumer's inputs ``rows`` (texts, length, d), for ``norm_aware`` moments those of the chosen texts, with the
    residual stream of these after the site.
    """
    accumulator.update(stream.real(rows))
    if norm_aware is not None:
        chosen, total = norm_aware
        accumulator.update_norm_aware(stream.real(rows[chosen], chosen), stream.real(total, chosen))
    if coherence:
        means, weights = text_means(stream, rows), mean_weights(stream, coherence)
        accumulator.update_means(means, weights)
        if norm_aware is not None:
            energy = text_means(stream, total.float().square().sum(dim=-1, keepdim=True), chosen).squeeze(1)
            accumulator.update_means(means[chosen], weights[chosen] / energy, norm_aware=True)


def _update_drift(drift: DriftAccumulator, stream: Stream, rows: Tensor, lost: Tensor, coherence: float) -> None:
    """Merge the inputs ``rows`` (texts, length, d), and what the stream has ``lost`` at the real tokens (tokens, d_out)."""
    drift.update(stream.real(rows), lost)
    if coherence:
        means, lost_means = text_means(stream, rows), text_means(stream, stream.padded(lost))
        drift.update(means, lost_means, mean_weights(stream, coherence))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the context; the model's former mode is restored afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
