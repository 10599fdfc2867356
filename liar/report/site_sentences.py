"""Sentences about a heatmap and a site: the worst sites, the effect of a repair, and the formula with its shapes."""

from __future__ import annotations

from collections.abc import Sequence

from liar.explore.atlas import SiteAtlas
from liar.explore.reconstructions import REPAIRS
from liar.report.view import Reported
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS, Reconstruction, SiteKind

_KINDS: dict[SiteKind, str] = {"ffn": "FFN", "attention": "attention"}
_ENERGY: dict[Reported, str] = {"plain": "of its output's energy", "norm-aware": "of its output's energy, norm-aware"}

NO_ERROR = 1e-9
"""Errors below this are zero up to floating-point noise."""


def place(site: SiteReport | Site) -> str:
    """Name of a site for display: ``layers.3.ffn`` -> ``layer 3 FFN``."""
    return f"layer {site.layer} {_KINDS[site.kind]}"


def stands_out(sites: Sequence[SiteReport], weighting: Reported, reconstruction: Reconstruction) -> str:
    """Sentence on the worst site, and on the smallest number of sites with half of all error."""
    if absent := _absent(sites, reconstruction):
        return absent
    known = {place(site): errors_of(site, weighting).get(reconstruction) for site in sites}
    errors = {name: error for name, error in known.items() if error is not None}
    unknown = _unknown(len(known) - len(errors))
    total = sum(errors.values())
    if total <= 0 and unknown:
        return unknown.strip()
    if total <= 0:
        return "No site's output differs from the dense model's."
    ranked = sorted(errors, key=errors.__getitem__, reverse=True)
    sentence = f"Worst with {reconstruction}: {ranked[0]}, {errors[ranked[0]]:.2g} {_ENERGY[weighting]}"
    if len(ranked) == 1:
        return f"{sentence}.{unknown}"
    reached, half = 0.0, 0
    while reached < total / 2:
        reached += errors[ranked[half]]
        half += 1
    return f"{sentence}; half of all error sits in {half} of {len(ranked)} sites.{unknown}"


def compares(sites: Sequence[SiteReport], weighting: Reported, first: Reconstruction, second: Reconstruction) -> str:
    """Sentence on the largest change of error from the first to the second reconstruction, and the sites improved."""
    if absent := _absent(sites, first, second):
        return absent
    known = [(place(site), errors_of(site, weighting)) for site in sites]
    pairs = {name: (errors[first], errors[second]) for name, errors in known if {first, second} <= errors.keys()}
    unknown = _unknown(len(known) - len(pairs))
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


def _absent(sites: Sequence[SiteReport], *names: Reconstruction) -> str:
    """Sentence on the first of ``names`` that has no error at any site; empty if all have one."""
    known = reconstructions_of(sites)
    return next((f"No error of {name} is known here." for name in names if name not in known), "")


def _unknown(sites: int) -> str:
    """Sentence on the number of sites of a forecast whose errors are not known."""
    if not sites:
        return ""
    return f" Not known at {sites} {'site' if sites == 1 else 'sites'} whose units were chosen by hand."


def error_words(error: float | None) -> str:
    """An error with three digits, zero below :data:`NO_ERROR`; None is an error that a forecast cannot compute."""
    if error is None:
        return "not known"
    return f"{error:.3g}" if error >= NO_ERROR else "0"


def errors_of(site: SiteReport, weighting: Reported) -> dict[Reconstruction, float]:
    """Known errors of a site under one of its two weightings."""
    return site.error if weighting == "plain" else site.norm_aware_error


def formula(chart: SiteAtlas, kept: int, reconstruction: Reconstruction) -> str:
    """Formulas, one a line, of a consumer's new weight and new bias if ``kept`` bundles are kept, with the shapes.

    The weight is (channels, outputs), as in ``Y = X W + b``; u are the kept channels and m the removed ones.
    """
    d, d_out = chart.site.channels, chart.facts.outputs
    u = kept * chart.site.bundle_size
    m = d - u
    if m == 0:
        return f"W: ({d} x {d_out}), nothing is removed\nb: {d_out}"
    repair = REPAIRS[reconstruction]
    shapes = repair.shapes.format(
        W_u=f"({u} x {d_out})", W_m=f"({m} x {d_out})", Q=f"({u} x {m})", P=f"({m} x {u})", s=f"{u}"
    )
    return f"{repair.weight}: {shapes}\n{repair.bias}: {d_out}"
