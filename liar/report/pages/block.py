"""Picture of one block as SVG: what a head, a neuron and a site are, and which of them a recipe takes out.

>>> from liar.report.pages.block import block_picture
>>> "What stays is not known yet." in block_picture([])
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from liar.report.words.sentences import UNITS
from liar.results import SiteReport
from liar.spec import SiteKind

_WIDTH, _HEIGHT = 480, 262
"""Units of the picture: so few that its words are readable on a phone."""

_BOX, _GAP = 222, 18
_TITLES: Mapping[SiteKind, str] = {"attention": "Attention", "ffn": "Feed-forward (FFN)"}
_MATRICES: Mapping[SiteKind, str] = {"attention": "output matrix", "ffn": "second matrix"}
_COLUMNS: Mapping[SiteKind, int] = {"attention": 8, "ffn": 12}
_DRAWN: Mapping[SiteKind, int] = {"attention": 16, "ffn": 48}
"""Most units drawn; if a site has more, each drawn one stands for several."""


def block_picture(sites: Sequence[SiteReport]) -> Markup:
    """A block with its two sites, each with its share of units gone over all layers of ``sites``, and the same in words.

    Without ``sites`` nothing is known of the recipe, and all units are there.
    """
    found = {kind: [site for site in sites if site.kind == kind] for kind in _TITLES}
    boxes = Markup("").join(_box(kind, place, found) for place, kind in enumerate(found))
    stream = Markup(
        '<line class="stream" x1="6" x2="{}" y1="232" y2="232"/><path class="tip" d="M{} 226l10 6l-10 6z"/>'
        '<text x="6" y="256">residual stream: every part reads it and adds to it</text>'
    ).format(_WIDTH - 12, _WIDTH - 14)
    return Markup(
        '<figure class="block-figure"><svg viewBox="0 0 {} {}" aria-hidden="true">{}{}</svg>'
        "<figcaption>A block of the model, which is one layer after the other of these. A head gathers from other tokens, a "
        "neuron responds to a pattern; a neuron writes one channel, a head several, and the next matrix reads them. A unit "
        "that goes takes its rows of that matrix with it, and the repair changes the rows that stay. {}</figcaption></figure>"
    ).format(_WIDTH, _HEIGHT, boxes, stream, " ".join(_words(found)))


def _words(sites: Mapping[SiteKind, Sequence[SiteReport]]) -> Iterator[str]:
    if not any(sites.values()):
        yield "What stays is not known yet."
        return
    for kind, name in UNITS.items():
        if found := sites[kind]:
            kept, units = sum(site.kept for site in found), sum(site.units for site in found)
            layers = "1 layer" if len(found) == 1 else f"{len(found)} layers"
            yield f"Of the {units:,} {name} of {layers} {kept:,} stay."
        else:
            yield f"The {name} are not touched by this recipe."


def _box(kind: SiteKind, place: int, sites: Mapping[SiteKind, Sequence[SiteReport]]) -> Markup:
    """One site: its units, the matrix that reads them, and the arrows from and to the residual stream."""
    found, left = sites[kind], 6 + place * (_BOX + _GAP)
    units = min(_DRAWN[kind], found[0].units) if found else _DRAWN[kind]
    share = sum(site.kept for site in found) / sum(site.units for site in found) if found else 1.0
    kept, columns = round(share * units), _COLUMNS[kind]
    size = (_BOX - 24) / columns
    squares = Markup("").join(
        Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>').format(
            "unit" if unit < kept else "unit gone",
            left + 12 + unit % columns * size + 1,
            54 + unit // columns * size + 1,
            size - 2,
            size - 2,
        )
        for unit in range(units)
    )
    return Markup(
        '<g class="{}"><rect class="frame" x="{left}" y="6" width="{}" height="178" rx="8"/>'
        '<text class="name" x="{inner}" y="27">{}</text><text x="{inner}" y="46">site, with its {}</text>{}'
        '<rect class="matrix" x="{inner}" y="142" width="{}" height="32" rx="4"/><text x="{words}" y="163">{}</text>'
        '<path class="arrow" d="M{into} 232V188"/><path class="tip" d="M{into} 184l-5 9h10z"/>'
        '<path class="arrow" d="M{out} 184V222"/><path class="tip" d="M{out} 229l-5 -9h10z"/></g>'
    ).format(
        "site" if found or not any(sites.values()) else "site untouched",
        _BOX,
        _TITLES[kind],
        UNITS[kind],
        squares,
        _BOX - 24,
        f"{_MATRICES[kind]} reads them",
        left=left,
        inner=left + 12,
        words=left + 22,
        into=left + 40,
        out=left + _BOX - 40,
    )
