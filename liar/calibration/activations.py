"""The walk: one forward of the calibration text, block by block and site by site, that hands out moments on its way.

Layers are the outer loop and batches the inner one, so a model larger than its accelerator needs one block at a time on
it. The same walk serves both schedules: one-shot lets the dense outputs flow on; sequential waits for the site to be
pruned and sends the outputs of what is left.
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
    """A stop at a site: its block is on the device, ``moments`` are complete, and here until the walk goes on.

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
    """Visit every targeted site in the order of the computation; without ``norm_aware`` with its plain moments only.

    Raises :class:`NonFiniteError` and :class:`CalibrationError` naming the site. Closing the iterator releases all it holds.
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
                        break  # nothing behind the last site is needed


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
    """One half of a block for every batch; a visit when the site is wanted."""
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
    del stop.moments  # the visit lives in its caller's loop until the next one replaces it
    if not sequential:
        return
    for stream, rows, following in zip(streams, inputs, advanced, strict=True):
        if stop.kept is None:
            stream.hidden = following
        else:
            stream.hidden = _advance(adapter, site, rows[..., stop.kept], stream.hidden)[1]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout inside; the model's mode is what it was afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
