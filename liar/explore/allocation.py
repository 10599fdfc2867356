"""Allocation: the kept bundles of each site, from the overall ratio, scores or curves, and edits.

The overall budget is the ratio times the parameters of all targeted units; with one kind of target, whose units all
cost the same, it is the ratio of units. All allocations but ``uniform`` keep a floor of a twelfth of each site.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from liar.edits import SiteEdit, merge, spans
from liar.errors import EmptySiteError, InvalidSpecError
from liar.sites import Site
from liar.spec import ALLOCATIONS, CHECKED, PruneSpec, Targets

FLOOR = 12
"""All allocations but ``uniform`` keep one ``FLOOR``-th of a site's bundles."""
STEPS = 48
"""A step of the greedy search removes one ``STEPS``-th of a site's bundles: a few dozen channels of an FFN."""
TOLERANCE = 0.03
"""Difference between the share that a ratio asks for and the one that goes above which a run warns."""
UNITS_OF: Mapping[Targets, str] = {"heads": "heads", "ffn": "neurons", "both": "heads and neurons", "layers": "layers"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One site with the data for its allocation; uniform needs none of the optional fields.

    ``scores`` (bundles,) are divided by ``deviation`` in global (see :func:`liar.maths.criteria.deviation`).
    ``damage`` (bundles + 1,) is the cost of keeping only the best k bundles, comparable between sites:
    E[|error|^2 / |h|^2] for error-curve, sensitivity x E[|error|^2] for loss-curve.
    """

    site: Site
    bundle_parameters: int
    scores: NDArray[np.floating] | None = None
    damage: NDArray[np.floating] | None = None
    deviation: float | None = None


def allocate(allocation: str, candidates: Sequence[Candidate], ratio: float) -> dict[str, int]:
    """Kept bundles of each site, by name. Raises :class:`EmptySiteError` if a site would lose all its units."""
    kept = [c.site.bundles - nearest_removed(c.site.bundles, ratio) for c in candidates]
    if 0 in kept:
        site = candidates[kept.index(0)].site
        raise EmptySiteError(
            f"A ratio of {ratio:g} would leave {site.name} without units (it has {site.bundles} that can go one by "
            f"one); choose a ratio of at most {(site.bundles - 1) / site.bundles:.2f}."
        )
    if allocation != "uniform":
        # The fewest bundles to keep: a share of the site, or the count of uniform if that is less.
        floors = [max(1, min(ceil(c.site.bundles / FLOOR), count)) for c, count in zip(candidates, kept, strict=True)]
        budget = ratio * sum(c.site.bundles * c.bundle_parameters for c in candidates)
        kept = (_global if allocation == "global" else _by_curve)(candidates, floors, budget)
    return {candidate.site.name: count for candidate, count in zip(candidates, kept, strict=True)}


FEWEST_LEFT = 2
"""Blocks that a model keeps at least when whole ones go: the one that is patched, and one more."""


def nearest_removed(bundles: int, ratio: float) -> int:
    """Nearest whole number of bundles to remove, halves down. ``round`` undoes 0.35 x 20 = 7.000000000000001."""
    return ceil(round(ratio * bundles, 9) - 0.5)


def global_order(candidates: Sequence[Candidate]) -> list[int]:
    """Index of a candidate for each bundle of all, worst first: their scores are standardised within each site."""
    ranked: list[tuple[float, int]] = []
    for index, candidate in enumerate(candidates):
        assert candidate.scores is not None
        assert candidate.deviation is not None
        scores = candidate.scores.astype(np.float64)
        standard = (scores - scores.mean()) / max(candidate.deviation, np.finfo(np.float64).tiny)
        ranked += [(value, index) for value in standard.tolist()]
    return [index for _, index in sorted(ranked)]


def _global(candidates: Sequence[Candidate], floors: Sequence[int], left: float) -> list[int]:
    """One threshold over the scores of all sites, standardised within each site (FLAP's AL-AM, arXiv 2312.11983).

    ``left`` are the parameters to remove.
    """
    kept = [candidate.site.bundles for candidate in candidates]
    for index in global_order(candidates):
        cost = candidates[index].bundle_parameters
        if kept[index] > floors[index] and left >= cost / 2:
            kept[index] -= 1
            left -= cost
    return kept


def _by_curve(candidates: Sequence[Candidate], floors: Sequence[int], left: float) -> list[int]:
    """Greedily remove the step that adds the least damage per parameter."""
    kept = [candidate.site.bundles for candidate in candidates]
    heap: list[tuple[float, int, int]] = []

    def offer(index: int) -> None:
        candidate = candidates[index]
        assert candidate.damage is not None
        step = min(max(1, candidate.site.bundles // STEPS), kept[index] - floors[index])
        if step > 0:
            rise = float(candidate.damage[kept[index] - step] - candidate.damage[kept[index]])
            heapq.heappush(heap, (rise / (step * candidate.bundle_parameters), index, step))

    for index in range(len(candidates)):
        offer(index)
    while heap:
        _, index, step = heapq.heappop(heap)
        cost = candidates[index].bundle_parameters
        # A head may have overdrawn the budget by up to half its parameters; a negative `take` then restores neurons.
        take = max(min(step, round(left / cost)), kept[index] - candidates[index].site.bundles)
        kept[index] -= take
        left -= take * cost
        if take < step:  # the budget ends within this step, but a cheaper kind of unit may still fit
            continue
        offer(index)
    return kept


def check_units(spec: PruneSpec) -> None:
    """Raise :class:`InvalidSpecError` if ``spec`` removes layers or tokens, of whose loss nothing is known before a run."""
    if not spec.reads_dense:
        what = "a smaller vocabulary costs" if "depth" not in spec.stages else "whole layers cost"
        raise InvalidSpecError(
            f"What {what} is not known before a run: curves and masks are of heads and neurons in the dense model."
        )


def check_choices(spec: PruneSpec, sites: Sequence[Site]) -> None:
    """Refuse choices of units that are illegal for any calibration, before the long work; raises :class:`InvalidSpecError`."""
    if spec.allocation == CHECKED:
        *names, last = ALLOCATIONS
        raise InvalidSpecError(
            f"The allocation {CHECKED} went: it measured several allocations, for three quarters of the run's time, and gained "
            f"nothing over uniform. Choose {', '.join(names)} or {last}."
        )
    check_edits(merge(spec.edits), sites)
    allocate("uniform", [Candidate(site, 1) for site in sites], spec.ratio)
    for site in sites:
        if site.kind == "ffn" and site.bundles < spec.multiple:
            raise InvalidSpecError(
                f"{site.name} has {site.bundles} neurons, fewer than the multiple {spec.multiple}; take a smaller one."
            )


def kept_counts(spec: PruneSpec, candidates: Sequence[Candidate], edits: Mapping[str, SiteEdit]) -> dict[str, int]:
    """Kept bundles of each site, by name: :func:`settled_counts` of :func:`allocate`; ``edits`` are those of ``spec``."""
    sites = [candidate.site for candidate in candidates]
    return settled_counts(spec, sites, allocate(spec.allocation, candidates, spec.ratio), edits)


def settled_counts(
    spec: PruneSpec, sites: Sequence[Site], allocated: Mapping[str, int], edits: Mapping[str, SiteEdit]
) -> dict[str, int]:
    """Kept bundles of each site, by name: the ``allocated`` ones, or those of an edit's ratio, in legal numbers.

    Neurons of the sites that lose any become multiples of ``spec.multiple``, at least one each. Their sum is the largest
    within that of the counts: every count is rounded down, and the largest remainders are rounded up. For the allocation
    uniform all are rounded down, so that sites of one size keep one size. ``edits`` may change a count after that:
    what they keep stays, and what they remove goes.
    """
    counts = dict(allocated)
    for site in sites:
        edit = edits.get(site.name)
        if edit is not None and edit.ratio is not None:
            counts[site.name] = max(1, site.bundles - nearest_removed(site.bundles, edit.ratio))
    cut = [site for site in sites if site.kind == "ffn" and counts[site.name] < site.bundles]
    wanted = [counts[site.name] for site in cut]
    most = [site.bundles // spec.multiple for site in cut]
    rounded = _in_multiples(wanted, most, spec.multiple, together=spec.allocation != "uniform")
    counts |= {site.name: count for site, count in zip(cut, rounded, strict=True)}
    for site in sites:
        edit = edits.get(site.name)
        if edit is not None:
            left = site.bundles - len(bundles_of(site, edit.remove))
            counts[site.name] = min(max(counts[site.name], len(bundles_of(site, edit.keep))), left)
    return counts


def _in_multiples(counts: Sequence[int], most: Sequence[int], multiple: int, *, together: bool) -> list[int]:
    """``counts`` as numbers of ``multiple``, from one to ``most`` of them each; ``together``: by largest remainder."""
    times = [max(1, count // multiple) for count in counts]
    left = sum(counts) - multiple * sum(times) if together else 0

    def remainder(index: int) -> int:
        return counts[index] - multiple * times[index]

    while left >= multiple and (open_ := [index for index, time in enumerate(times) if time < most[index]]):
        times[max(open_, key=remainder)] += 1  # of equal ones the first
        left -= multiple
    while left < 0 and (open_ := [index for index, time in enumerate(times) if time > 1]):
        times[min(open_, key=remainder)] -= 1
        left += multiple
    return [multiple * time for time in times]


def best_bundles(
    site: Site, scores: NDArray[np.floating], count: int, edit: SiteEdit | None = None
) -> NDArray[np.intp]:
    """The ``count`` bundles to keep, ascending: the best by ``scores`` (bundles,) after the ``edit``, ties to the lower index.

    The count is that of :func:`settled_counts`.
    """
    scores = scores.astype(np.float64, copy=True)
    if edit is not None:
        scores[sorted(bundles_of(site, edit.keep))] = np.inf
        scores[sorted(bundles_of(site, edit.remove))] = -np.inf
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def share_warning(spec: PruneSpec, candidates: Sequence[Candidate], counts: Mapping[str, int]) -> str | None:
    """Sentence on the share that goes if it is not what the ratio asks for; None within :data:`TOLERANCE`.

    The share is one of parameters, which for one kind of unit is that of units; ``counts`` are of :func:`settled_counts`.
    """
    whole = sum(c.site.bundles * c.bundle_parameters for c in candidates)
    reached = 1 - sum(counts[c.site.name] * c.bundle_parameters for c in candidates) / whole
    if spec.edits:
        why = "edits by hand change it; change them"
    elif spec.multiple > 1 and any(c.site.kind == "ffn" for c in candidates):
        why = f"kept neurons are multiples of {spec.multiple}; take a smaller multiple"
    else:
        smallest = min((c.site for c in candidates), key=lambda site: site.bundles)
        why = f"{smallest.name} has {smallest.bundles} that can go one by one; choose a ratio that this allows"
    return off_target(spec.ratio, reached, UNITS_OF[spec.targets], why)


def off_target(asked: float, reached: float, what: str, why: str) -> str | None:
    """Sentence on two shares of ``what`` that differ by more than :data:`TOLERANCE`, and ``why``; else None."""
    if round(abs(asked - reached), 9) <= TOLERANCE:
        return None
    return f"The ratio asks for {100 * asked:.3g} % of the {what}, and {100 * reached:.3g} % go: {why}."


# -- edits -----------------------------------------------------------------------------------------------------------


def check_edits(edits: Mapping[str, SiteEdit], sites: Sequence[Site]) -> None:
    """Raise :class:`InvalidSpecError` for an edit of a site that is not pruned or of units that it does not have."""
    at = {site.name: site for site in sites}
    for name, edit in edits.items():
        site = at.get(name)
        if site is None:
            last = max(site.layer for site in sites)
            if int(name.split(".")[1]) > last:
                raise InvalidSpecError(
                    f"{name} is edited, and the layers of this model are 0 to {last}; change the edit."
                )
            raise InvalidSpecError(f"{name} is edited but not among the pruned sites; choose other targets or drop it.")
        if beyond := {unit for unit in edit.keep | edit.remove if unit >= site.units}:
            raise InvalidSpecError(f"{name} has the units 0 to {site.units - 1}, not {spans(beyond)}; change the edit.")
        if both := bundles_of(site, edit.keep) & bundles_of(site, edit.remove):
            raise InvalidSpecError(
                f"The units of {name} go in groups of {site.group}, and group {spans(both)} is both kept and removed."
            )
        if len(bundles_of(site, edit.remove)) >= site.bundles:
            raise EmptySiteError(f"The edits remove every unit of {name}; keep at least one.")


def bundles_of(site: Site, units: Iterable[int]) -> frozenset[int]:
    """Bundles that contain ``units``."""
    return frozenset(unit // site.group for unit in units)
