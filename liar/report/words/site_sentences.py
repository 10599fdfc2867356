"""Sentences about a heatmap and a site: the worst sites, the effect of a repair, and the formula with its shapes in LaTeX."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from liar.choices import REPAIRS, Reconstruction
from liar.explore.atlas import SiteAtlas
from liar.report.view import Reported
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS, PruneSpec, SiteKind

KINDS: dict[SiteKind, str] = {"ffn": "FFN", "attention": "attention"}
_ENERGY: dict[Reported, str] = {"plain": "of its output's energy", "norm-aware": "of its output's energy, norm-aware"}

NO_ERROR = 1e-9
"""Errors below this are zero up to floating-point noise."""


def place(site: SiteReport | Site) -> str:
    """Name of a site for display: ``layers.3.ffn`` -> ``layer 3 FFN``."""
    return f"layer {site.layer} {KINDS[site.kind]}"


def stands_out(sites: Sequence[SiteReport], weighting: Reported, reconstruction: Reconstruction) -> str:
    """Sentence on the worst site, and on the smallest number of sites with half of all error."""
    known, unknown = _known(sites, weighting, reconstruction)
    errors = {name: error for name, (error,) in known.items()}
    total = sum(errors.values())
    if total <= 0:
        return unknown.strip() or "No site's output differs from the dense model's."
    worst = max(errors, key=errors.__getitem__)
    sentence = f"Worst with {reconstruction}: {worst}, {errors[worst]:.2g} {_ENERGY[weighting]}"
    if len(errors) == 1:
        return f"{sentence}.{unknown}"
    half = 1 + bisect_left(list(accumulate(sorted(errors.values(), reverse=True))), total / 2)
    return f"{sentence}; half of all error sits in {half} of {len(errors)} sites.{unknown}"


def compares(sites: Sequence[SiteReport], weighting: Reported, first: Reconstruction, second: Reconstruction) -> str:
    """Sentence on the largest change of error from the first to the second reconstruction, and the sites improved."""
    pairs, unknown = _known(sites, weighting, first, second)
    if not pairs and unknown:
        return unknown.strip()
    if all(before == after for before, after in pairs.values()):
        return f"{second} leaves the error of {first} as it is at every site.{unknown}"
    name, (before, after) = max(pairs.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    lower = sum(after < before for before, after in pairs.values())
    return (
        f"Largest change from {first} to {second}: {name}, {before:.2g} → {after:.2g} {_ENERGY[weighting]}; "
        f"lower at {lower} of {len(pairs)} sites.{unknown}"
    )


def reconstructions_of(sites: Sequence[SiteReport]) -> tuple[Reconstruction, ...]:
    """Reconstructions with an error at any of ``sites``, since an older result lacks newer ones; all if none has any."""
    known = {name for site in sites for name in site.error}
    return tuple(name for name in RECONSTRUCTIONS if name in known or not known)


def _known(
    sites: Sequence[SiteReport], weighting: Reported, *names: Reconstruction
) -> tuple[dict[str, tuple[float, ...]], str]:
    """The errors of ``names`` at each site that has all of them, and a sentence on the number of the other sites that are left.

    The sentence is on the first of ``names`` that has no error at any site, if there is one.
    """
    if absent := [name for name in names if name not in reconstructions_of(sites)]:
        return {}, f"No error of {absent[0]} is known here."
    errors = {place(site): errors_of(site, weighting) for site in sites if site.kept}
    known = {site: tuple(of[name] for name in names) for site, of in errors.items() if set(names) <= of.keys()}
    others = len(errors) - len(known)
    words = f" Not known at {others} {'site' if others == 1 else 'sites'} whose units were chosen by hand."
    return known, words if others else ""


def error_words(error: float | None) -> str:
    """An error with three digits, zero below :data:`NO_ERROR`; None is an error that a forecast cannot compute."""
    if error is None:
        return "not known"
    return f"{error:.3g}" if error >= NO_ERROR else "0"


def errors_of(site: SiteReport, weighting: Reported) -> dict[Reconstruction, float]:
    """Known errors of a site under one of its two weightings."""
    return site.error if weighting == "plain" else site.norm_aware_error


def formula(chart: SiteAtlas, kept: int, reconstruction: Reconstruction) -> tuple[str, ...]:
    """LaTeX of a consumer's new weight, of its new bias and of the names in them, with shapes, if ``kept`` bundles are kept.

    The weight is (channels, outputs), as in ``Y = X W + b``; u are the kept channels and m the removed ones.
    """
    d, d_out = chart.site.channels, chart.facts.outputs
    u = kept * chart.site.bundle_size
    m = d - u
    if m == 0:
        return (rf"W \gets {_over('W', d, d_out)}", rf"b \gets {_over('b', d_out)}")
    repair = REPAIRS[reconstruction]
    shapes = {"W_u": (u, d_out), "W_m": (m, d_out), "Q": (u, m), "P": (m, u), "s": (u,)}
    weight = re.sub("<(.+?)>", lambda name: _over(name[1], *shapes[name[1]]), repair.weight)
    lines = (rf"W \gets {weight}", rf"b \gets {_over('b', d_out)}{repair.bias.removeprefix('b')}", repair.where)
    return tuple(line for line in lines if line)


def _over(name: str, *shape: int) -> str:
    """LaTeX of a name over its shape."""
    size = r" \times ".join(map(str, shape))
    return rf"\underset{{{size}}}{{{name}}}"


def why_they_differ(spec: PruneSpec) -> str:
    """Sentence on the two errors of a site: the one that the curves predict and the one that a run has measured."""
    curve = "the curve of a repair with a ridge bounds its error from above"
    if spec.walked == "one-shot":
        return f"Both read the dense model's activations; {curve}."
    return (
        f"Predicted reads the dense model's activations, and {curve}. The run prunes site after site and reads what the "
        "smaller model computes, so other units may go here, and the error is a share of another output."
    )
