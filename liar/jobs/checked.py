"""The allocation ``checked``: candidates built with their repairs, and compared with the dense model on text of their own.

Error curves rank allocations well, but errors summed over sites are not the loss (EvoPress, arXiv 2410.14649), and no curve
is the best everywhere. So each candidate is built from the text that drew the curves, and the one whose answers diverge
least from the dense model's, on text that the calibration does not have, stays.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import count
from math import isfinite

import numpy as np

from liar.calibration.activations import Visit, walk
from liar.calibration.calibrate import Calibration
from liar.calibration.divergences import answers_steps, divergence_steps, masked, pieces_of, restored
from liar.edits import SiteEdit
from liar.errors import NonFiniteError
from liar.explore.allocation import Candidate, allocate, settled_counts
from liar.jobs.decide import decide
from liar.maths.criteria import ScoreFunction
from liar.models.adapter import Adapter, Batch
from liar.models.surgery import ConsumerParameters, install
from liar.progress import relay
from liar.results import CheckedAllocation
from liar.sites import Site
from liar.spec import Allocation, PruneSpec

Kept = dict[str, int]
"""Kept bundles of each site, by name."""

Steps = Generator[tuple[int, int], None, tuple[Kept, list[CheckedAllocation]]]


def checked_steps(
    spec: PruneSpec,
    adapter: Adapter,
    criterion: str | ScoreFunction,
    calibration: Calibration,
    sample: Sequence[Batch],
    held: Sequence[Batch],
    edits: Mapping[str, SiteEdit],
) -> Steps:
    """The best of the candidates on the text ``held`` back, and all of them; yields (done, total) steps.

    ``calibration`` has the curves of every site, and for a one-shot run the moments too; any other builds each candidate
    from the ``sample``. Raises :class:`NonFiniteError` if no candidate gives finite answers.
    """
    sites = adapter.sites(spec.targets)
    damages = damages_of(spec, adapter, criterion, calibration, sites)
    allocations = allocations_of(spec, adapter, sites, damages)
    pieces = pieces_of(adapter, held)
    total = len(pieces) + len(allocations) * (len(sites) + len(pieces))
    done = count(1)

    def measured() -> Generator[object, None, list[float]]:
        dense = yield from answers_steps(adapter, pieces)
        found = []
        for kept in allocations.values():
            with restored(adapter, sites):
                yield from built(spec, adapter, criterion, calibration, sample, kept, edits)
                found.append((yield from divergence_steps(adapter, pieces, dense)))
        return found

    divergences = yield from relay(measured(), lambda _: (next(done), total))
    tried = [
        CheckedAllocation(name=name, predicted=_predicted(kept, damages["loss-curve"]), measured=divergence)
        for (name, kept), divergence in zip(allocations.items(), divergences, strict=True)
        if isfinite(divergence)
    ]
    if not tried:
        raise NonFiniteError("No candidate of checked gives finite answers; lower the ratio, or calibrate in float32.")
    best = min(tried, key=lambda each: each.measured)
    return allocations[best.name], tried


Damages = dict[str, dict[str, np.ndarray]]
"""Damage of each kept count, by allocation and name of the site."""


def curves_of(spec: PruneSpec) -> list[PruneSpec]:
    """The recipes whose curves an allocation reads: both kinds for ``checked``, else its own."""
    if spec.allocation != "checked":
        return [spec]
    curves: tuple[Allocation, ...] = ("error-curve", "loss-curve")
    return [spec.model_copy(update={"allocation": allocation}) for allocation in curves]


def damages_of(
    spec: PruneSpec, adapter: Adapter, criterion: str | ScoreFunction, calibration: Calibration, sites: Sequence[Site]
) -> Damages:
    """The curves that ``checked`` reads, from a calibration that has drawn them or has the moments to."""
    found: Damages = {}
    for by in curves_of(spec):
        found[by.allocation] = {}
        for site in sites:
            damage = calibration.candidate(by, site, adapter, criterion).damage
            assert damage is not None, "allocations by curves have damages"
            found[by.allocation][site.name] = damage
    return found


def allocations_of(spec: PruneSpec, adapter: Adapter, sites: Sequence[Site], damages: Damages) -> dict[str, Kept]:
    """Different allocations at the ratio of ``spec``, by name."""
    plain = [Candidate(site, adapter.bundle_parameters(site)) for site in sites]
    uniform = allocate("uniform", plain, spec.ratio)
    found: dict[str, Kept] = {"uniform": uniform}
    # In units of the damage of uniform, so that both curves count equally in their blend.
    shares = {name: sum(each[uniform[site]] for site, each in curves.items()) for name, curves in damages.items()}
    blend = {
        site.name: sum(damages[name][site.name] / max(share, np.finfo(float).tiny) for name, share in shares.items())
        for site in sites
    }
    for name, curves in {**damages, "blend": blend}.items():
        by_curve = [
            Candidate(site, adapter.bundle_parameters(site), damage=np.asarray(curves[site.name])) for site in sites
        ]
        kept = allocate("loss-curve", by_curve, spec.ratio)
        if kept not in found.values():
            found[name] = kept
    return found


def built(
    spec: PruneSpec,
    adapter: Adapter,
    criterion: str | ScoreFunction,
    calibration: Calibration,
    sample: Sequence[Batch],
    kept: Kept,
    edits: Mapping[str, SiteEdit],
) -> Iterator[Site]:
    """Give each site the repaired consumer of a candidate, in the order of the forward.

    Unless the run is one-shot, a site is repaired for what the sites before it now give out, as it will be in the end:
    errors of a candidate can grow from site to site, and not even their order is that of a one-shot repair.
    """
    if spec.schedule == "one-shot":
        visits: Iterable[Visit] = (Visit(site, calibration.moments[site]) for site in adapter.sites(spec.targets))
    else:
        visits = walk(
            adapter,
            sample,
            spec.targets,
            schedule=spec.walked,
            norm_aware=0,
            on_attenuation=adapter.attenuate,
        )
    counts = settled_counts(spec, adapter.sites(spec.targets), kept, edits)
    for visit in visits:
        site = visit.site
        consumer = adapter.consumer(site)
        weight = consumer.weight.T
        decision = decide(
            site,
            calibration.scores(criterion, site, weight, spec.seed),
            counts[site.name],
            visit.moments.plain,
            weight,
            edit=edits.get(site.name),
            reconstructions=(spec.reconstruction,),
            drift=visit.drift,
        )
        parameters = ConsumerParameters.install_of(consumer, decision.solutions[spec.reconstruction])
        install(adapter, site, masked(consumer.weight, decision.channels, parameters))
        visit.whole = decision.is_whole
        yield site


def _predicted(kept: Kept, damage: Mapping[str, np.ndarray]) -> float:
    """Divergence in nats by the curves, see :func:`liar.explore.forecast.divergence`."""
    return sum(float(each[kept[name]]) for name, each in damage.items()) / 2
