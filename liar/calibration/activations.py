"""The walk: one forward of the calibration text, block by block and site by site, that yields the moments of each site.

Layers are the outer loop and batches the inner one, so only one block at a time needs to be on the accelerator. The
same walk serves both schedules: one-shot passes the dense outputs on; sequential lets the caller prune the site first
and then passes on the outputs of the pruned site.

>>> import torch
>>> from liar import load_model
>>> from liar.calibration.activations import walk
>>> batch = {"input_ids": torch.arange(32).view(2, 16), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
>>> [(visit.site.name, visit.moments.plain.tokens) for visit in walk(load_model("tiny").adapter, [batch], "ffn")]
[('layers.0.ffn', 32), ('layers.1.ffn', 32)]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from liar.maths.moments import SiteMoments, SiteMomentsAccumulator
from liar.models.adapter import Adapter, Batch, Stream
from liar.models.offload import resident
from liar.sites import Site
from liar.spec import SiteKind, Targets


@dataclass(slots=True)
class Visit:
    """One visited site: its block is on the device, its ``moments`` are complete (freed when the walk resumes).

    In a sequential walk, set ``kept`` to the kept channels after shrinking the site.
    """

    site: Site
    moments: SiteMoments
    kept: Tensor | None = field(default=None)


@torch.no_grad()
def _advance(adapter: Adapter, site: Site, rows: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    return adapter.add_residual(site, adapter.consumer(site)(rows), hidden)


def walk(
    adapter: Adapter,
    batches: Sequence[Batch],
    targets: Targets,
    *,
    sequential: bool = False,
    norm_aware: bool = True,
) -> Iterator[Visit]:
    """Visit every targeted site in the order of the forward; without ``norm_aware`` only plain moments are computed.

    Raises :class:`NonFiniteError` and :class:`CalibrationError`, which name the site. Closing it frees the memory.
    """
    streams: list[Stream] = []
    contexts: list[list[dict[str, Any]]] = []
    with evaluating(adapter.model):
        for batch in batches:
            stream, context = adapter.embed(batch)
            streams.append(stream)
            contexts.append(context)
        wanted = {(site.layer, site.kind) for site in adapter.sites(targets)}
        last = max(layer for layer, _ in wanted)
        kinds: tuple[SiteKind, ...] = ("attention", "ffn")
        for layer in range(last + 1):
            with resident(adapter.layers[layer]):
                for kind in kinds:
                    site = adapter.site(layer, kind)
                    adapter.check_finite(site)
                    yield from _stage(
                        adapter,
                        site,
                        streams,
                        [context[layer] for context in contexts],
                        visit=(layer, kind) in wanted,
                        sequential=sequential,
                        norm_aware=norm_aware,
                    )
                    if (layer, kind) == (last, "attention") and (last, "ffn") not in wanted:
                        break  # no site after this one is visited


def _stage(
    adapter: Adapter,
    site: Site,
    streams: list[Stream],
    contexts: list[dict[str, Any]],
    *,
    visit: bool,
    sequential: bool,
    norm_aware: bool,
) -> Iterator[Visit]:
    """Run one half of a block on every batch; yield a visit if ``visit`` is true."""
    weight = adapter.consumer(site).weight
    accumulator: SiteMomentsAccumulator | None = None
    if visit:
        accumulator = SiteMomentsAccumulator(site.channels, weight.device, weight.dtype, norm_aware=norm_aware)
    inputs: list[Tensor] = []
    advanced: list[Tensor] = []
    for stream, context in zip(streams, contexts, strict=True):
        with torch.no_grad():
            rows = adapter.consumer_input(site, stream.hidden, context)
            total, following = _advance(adapter, site, rows, stream.hidden)
            if accumulator is not None:
                accumulator.update(stream.real(rows), stream.real(total))
        if visit and sequential:
            inputs.append(rows)
            advanced.append(following)
        else:
            stream.hidden = following
    if accumulator is None:
        return
    stop = Visit(site, accumulator.finish(site.name))
    del accumulator
    yield stop
    del stop.moments  # free them now: the loop of the caller holds the visit until the next one
    if not sequential:
        return
    for stream, rows, following in zip(streams, inputs, advanced, strict=True):
        if stop.kept is None:
            stream.hidden = following
        else:
            stream.hidden = _advance(adapter, site, rows[..., stop.kept], stream.hidden)[1]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the context; the model's former mode is restored afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
