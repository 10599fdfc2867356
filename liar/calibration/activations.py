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

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
from liar.spec import Schedule, SiteKind, Targets


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


@torch.no_grad()
def _advance(adapter: Adapter, site: Site, rows: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    return adapter.add_residual(site, adapter.consumer(site)(rows), hidden)


@torch.no_grad()
def _advance_all(adapter: Adapter, site: Site, streams: list[Stream], contexts: list[dict[str, Any]]) -> None:
    for stream, context in zip(streams, contexts, strict=True):
        rows = adapter.consumer_input(site, stream.hidden, context)
        stream.hidden = _advance(adapter, site, rows, stream.hidden)[1]


def walk(
    adapter: Adapter,
    batches: Sequence[Batch],
    targets: Targets,
    *,
    schedule: Schedule = "one-shot",
    norm_aware: int = MEAN_TOKENS,
    unseen: Sequence[Batch] = (),
    on_attenuation: Callable[[float], None] = lambda _: None,
) -> Iterator[Visit]:
    """Visit every targeted site in the order of the forward.

    Norm-aware moments are of ``norm_aware`` tokens for each channel: few for errors that are reported, more for curves
    (:mod:`liar.calibration.sample`), 0 for none.
    A corrective walk that has cut a model with a last norm, and with more than one output, ends by calling ``on_attenuation``
    with the factor of the norm's gain. It is fitted to the ``unseen`` text, which enters no moments, or else to ``batches``.
    Raises :class:`NonFiniteError` and :class:`CalibrationError`, which name the site. Closing it frees the memory.
    """
    with evaluating(adapter.model):
        own = shares(batches)
        embedded = [adapter.embed(batch) for batch in [*own, *(shares(unseen) if unseen else [])]]
        streams, contexts = [stream for stream, _ in embedded], [context for _, context in embedded]
        seen, aside = streams[: len(own)], streams[len(own) :]
        wanted = {(site.layer, site.kind) for site in adapter.sites(targets)}
        last = max(layer for layer, _ in wanted)
        kinds: tuple[SiteKind, ...] = ("attention", "ffn")
        tokens = tokens_of(batches)
        dense = [stream.hidden for stream in streams] if schedule == "corrective" else []
        cut = False
        for layer in range(last + 1):
            with resident(adapter.layers[layer]):
                its_contexts = [context[layer] for context in contexts]
                ahead = _ahead(adapter, layer, dense, its_contexts, wanted) if dense else {}
                for kind in kinds:
                    site, visited = adapter.site(layer, kind), (layer, kind) in wanted
                    adapter.check_finite(site)
                    cut |= yield from _stage(
                        adapter,
                        site,
                        seen,
                        its_contexts[: len(own)],
                        visit=visited,
                        sequential=schedule != "one-shot",
                        dense=ahead[kind][: len(own)] if cut and dense else None,
                        made_up=share_of(layer, len(adapter.layers)),
                        norm_aware_stride=stride(tokens, site.channels, norm_aware) if norm_aware and visited else None,
                    )
                    if aside:
                        _advance_all(adapter, adapter.site(layer, kind), aside, its_contexts[len(own) :])
                    if (layer, kind) == (last, "attention") and (last, "ffn") not in wanted and not dense:
                        break  # no site after this one is visited
        norm = adapter.last_norm() if is_overconfident(adapter.model) else None
        if cut and dense and norm is not None:
            fitted = aside or seen
            step = stride(tokens_of(unseen or batches), adapter.widest, MEAN_TOKENS)
            on_attenuation(_attenuation(norm, dense[-len(fitted) :], fitted, step))


@torch.no_grad()
def _attenuation(norm: nn.Module, dense: list[Tensor], streams: list[Stream], stride: float) -> float:
    """The attenuation by every ``stride``-th sequence of each batch: a mean over tokens, for which some suffice."""
    choices = [every(stride, len(whole)) for whole in dense]
    pairs = [
        (stream.some(chosen), whole[chosen]) for stream, whole, chosen in zip(streams, dense, choices, strict=True)
    ]
    with resident(norm):
        before = [some.real(norm(whole)) for some, whole in pairs]
        return attenuation(before, [some.real(norm(some.hidden)) for some, _ in pairs], summed)


@torch.no_grad()
def _ahead(
    adapter: Adapter,
    layer: int,
    dense: list[Tensor],
    contexts: list[dict[str, Any]],
    wanted: set[tuple[int, SiteKind]],
) -> dict[SiteKind, list[Tensor]]:
    """Run a block that nothing is pruned of on the ``dense`` streams; the residual stream behind ``wanted`` sites, by batch."""
    found: dict[SiteKind, list[Tensor]] = {"attention": [], "ffn": []}
    with fast_products(adapter.model):
        for place, context in enumerate(contexts):
            for kind, behind in found.items():
                site = adapter.site(layer, kind)
                rows = adapter.consumer_input(site, dense[place], context)
                total, dense[place] = _advance(adapter, site, rows, dense[place])
                if (layer, kind) in wanted:
                    behind.append(total)
    return found


def _stage(
    adapter: Adapter,
    site: Site,
    streams: list[Stream],
    contexts: list[dict[str, Any]],
    *,
    visit: bool,
    sequential: bool,
    dense: list[Tensor] | None,
    made_up: float,
    norm_aware_stride: float | None,
) -> Generator[Visit, None, bool]:
    """Run one half of a block on this process's batches; yield a visit if ``visit`` is true, and return whether it cut.

    The visit has the share ``made_up`` of the drift from ``dense``, the residual stream of each batch behind the site in
    the dense model. Norm-aware moments are of every ``norm_aware_stride``-th sequence of each batch, None for no such moments.
    """
    weight = adapter.consumer(site).weight
    accumulator: SiteMomentsAccumulator | None = None
    drift: DriftAccumulator | None = None
    if visit:
        accumulator = SiteMomentsAccumulator(
            site.channels,
            weight.device,
            weight.dtype,
            norm_aware=norm_aware_stride is not None,
            all_answer=answers_every_token(adapter.model),
        )
    if visit and dense is not None:
        drift = DriftAccumulator(site.channels, weight.shape[0], weight.device, weight.dtype)
        before = [stream.real(total) for stream, total in zip(streams, dense, strict=True)]
        ordinaries = ordinary(before, gathered)
    inputs: list[Tensor] = []
    for place, (stream, context) in enumerate(zip(streams, contexts, strict=True)):
        with torch.no_grad():
            rows = adapter.consumer_input(site, stream.hidden, context)
        chosen = every(norm_aware_stride or 1.0, len(rows))
        some, some_rows = stream.some(chosen), rows[chosen]
        total: Tensor | None = None
        if visit and sequential:  # all rows pass the consumer once it is repaired
            inputs.append(rows)
            if drift is not None:
                with fast_products(adapter.model):
                    whole, _ = _advance(adapter, site, rows, stream.hidden)
                lost = before[place].to(drift.dtype) - stream.real(whole)
                drift.update(stream.real(rows), lost * ordinaries[place])
                total = whole[chosen]
            elif norm_aware_stride is not None:
                total, _ = _advance(adapter, site, some_rows, some.hidden)
        else:
            sums, stream.hidden = _advance(adapter, site, rows, stream.hidden)
            total = sums[chosen]
        if accumulator is not None:
            accumulator.update(stream.real(rows))
            if norm_aware_stride is not None and total is not None:
                accumulator.update_norm_aware(some.real(some_rows), some.real(total))
    if accumulator is None:
        return False
    if processes() > 1:
        merge([*accumulator.parts, *([] if drift is None else [drift])], summed)
    stop = Visit(site, accumulator.finish(site.name), None if drift is None else drift.finish().times(made_up))
    del accumulator, drift
    yield stop
    del stop.moments  # free them now: the loop of the caller holds the visit until the next one
    stop.drift = None
    for stream in streams if sequential else []:
        rows = inputs.pop(0)
        kept_rows = rows if stop.kept is None else rows[..., stop.kept]
        stream.hidden = _advance(adapter, site, kept_rows, stream.hidden)[1]
    return stop.kept is not None and len(stop.kept) < site.channels


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the context; the model's former mode is restored afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
