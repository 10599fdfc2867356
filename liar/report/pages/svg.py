"""Pictures in SVG: the map of a run's errors, and one block of the model with the units that a recipe takes out.

>>> from liar.report.pages.svg import block_picture
>>> "What stays is not known yet." in block_picture([])
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from typing import NamedTuple

from plotly.colors import sample_colorscale

from liar.report.words.sentences import UNITS
from liar.report.words.site_sentences import reconstructions_of
from liar.results import RunResult, SiteReport, removed_layers
from liar.spec import SiteKind

_LEFT, _WIDE, _HIGH = 84, 916, 22
"""Left edge of a map, and the width of all its cells and the height of one."""

_WIDTH, _HEIGHT = 480, 262
"""Units of the picture of a block: so few that its words are readable on a phone."""

_BOX, _GAP = 222, 18
_TITLES: Mapping[SiteKind, str] = {"attention": "Attention", "ffn": "Feed-forward (FFN)"}
_MATRICES: Mapping[SiteKind, str] = {"attention": "output matrix", "ffn": "second matrix"}
_COLUMNS: Mapping[SiteKind, int] = {"attention": 8, "ffn": 12}
_DRAWN: Mapping[SiteKind, int] = {"attention": 16, "ffn": 48}
"""Most units drawn; if a site has more, each drawn one stands for several."""

Cell = tuple[float, int, float, int, str, bool]
"""x, y, width, height, colour, and whether it is outlined."""


class Picture(NamedTuple):
    """Texts as (x, y, words), and cells; 1,000 wide."""

    height: int
    titles: list[tuple[float, int, str]]
    cells: list[Cell]


def picture_of(result: RunResult) -> Picture:
    """The map of what the last stage of a run did: a cell for each site and repair, or for each run of layers it tried."""
    return _of_layers(result) if result.spec.stages[-1] == "depth" else _of_sites(result)


def _of_sites(result: RunResult) -> Picture:
    names, kinds = reconstructions_of(result.sites), sorted({site.kind for site in result.sites})
    width = _WIDE / (1 + max(site.layer for site in result.sites))
    strip = _HIGH * len(kinds) + 30
    cells = [
        _cell(site.layer * width, row * strip + kinds.index(site.kind) * _HIGH, width, site.error[name])
        for row, name in enumerate(names)
        for site in result.sites
        if name in site.error
    ]
    titles = [(float(_LEFT), row * strip + 16, str(name)) for row, name in enumerate(names)]
    return Picture(strip * len(names) + 18, titles, cells)


def _of_layers(result: RunResult) -> Picture:
    gone, longest = removed_layers(result.sites), max((run.layers for run in result.tried), default=0)
    width = _WIDE / max((run.first for run in result.tried), default=1)
    cells = []
    for run in result.tried:
        outlined = [*range(run.first, run.first + run.layers)] == gone
        cells.append(_cell((run.first - 1) * width, (run.layers - 1) * _HIGH, width, run.norm_aware_error, outlined))
    titles = [(0.0, 24 + (count - 1) * _HIGH + 16, f"{count} gone") for count in range(1, longest + 1)]
    first = [(float(_LEFT), 16, "from layer 1 on, from layer 2 on, and so on")] if cells else []
    return Picture(_HIGH * longest + 42, [*first, *titles], cells)


def _cell(x: float, y: int, width: float, error: float, outlined: bool = False) -> Cell:
    """A cell of a strip in the colours of the heatmap: logarithmic from 0.001 to 1."""
    return (_LEFT + x, 24 + y, width - 1, _HIGH - 1, colour_of(error), outlined)


def colour_of(error: float) -> str:
    """Colour of the heatmap: logarithmic from 0.001 to 1."""
    place = min(1.0, max(0.0, 1 + log10(max(error, 1e-9)) / 3))
    return str(sample_colorscale("Viridis", [place])[0])


def block_picture(sites: Sequence[SiteReport]) -> str:
    """A block with its two sites, each with its share of units gone over all layers of ``sites``, and the same in words.

    Without ``sites`` nothing is known of the recipe, and all units are there. No text of a result is in it.
    """
    found = {kind: [site for site in sites if site.kind == kind] for kind in _TITLES}
    boxes = "".join(_box(kind, 6 + place * (_BOX + _GAP), found) for place, kind in enumerate(found))
    return (
        f'<figure class="block-figure"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">{boxes}'
        f'<line class="stream" x1="6" x2="{_WIDTH - 12}" y1="232" y2="232"/>'
        f'<path class="tip" d="M{_WIDTH - 14} 226l10 6l-10 6z"/>'
        '<text x="6" y="256">residual stream: every part reads it and adds to it</text></svg>'
        "<figcaption>A block of the model, which is one layer after the other of these. A head gathers from other tokens, a "
        "neuron responds to a pattern; a neuron writes one channel, a head several, and the next matrix reads them. A unit "
        "that goes takes its rows of that matrix with it, and the repair changes the rows that stay. "
        f"{' '.join(_words(found))}</figcaption></figure>"
    )


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
            gone = removed_layers(site for found in sites.values() for site in found)
            yield f"The {name} are not touched by this recipe{', but for those of the layers that went' if gone else ''}."


def _box(kind: SiteKind, left: int, sites: Mapping[SiteKind, Sequence[SiteReport]]) -> str:
    """One site: its units, the matrix that reads them, and the arrows from and to the residual stream."""
    found, inner, into, out = sites[kind], left + 12, left + 40, left + _BOX - 40
    units = min(_DRAWN[kind], found[0].units) if found else _DRAWN[kind]
    share = sum(site.kept for site in found) / sum(site.units for site in found) if found else 1.0
    kept, columns = round(share * units), _COLUMNS[kind]
    size = (_BOX - 24) / columns
    squares = "".join(
        f'<rect class="{"unit" if unit < kept else "unit gone"}" x="{inner + unit % columns * size + 1:.1f}" '
        f'y="{54 + unit // columns * size + 1:.1f}" width="{size - 2:.1f}" height="{size - 2:.1f}" rx="2"/>'
        for unit in range(units)
    )
    return (
        f'<g class="{"site" if found or not any(sites.values()) else "site untouched"}">'
        f'<rect class="frame" x="{left}" y="6" width="{_BOX}" height="178" rx="8"/>'
        f'<text class="name" x="{inner}" y="27">{_TITLES[kind]}</text>'
        f'<text x="{inner}" y="46">site, with its {UNITS[kind]}</text>{squares}'
        f'<rect class="matrix" x="{inner}" y="142" width="{_BOX - 24}" height="32" rx="4"/>'
        f'<text x="{left + 22}" y="163">{_MATRICES[kind]} reads them</text>'
        f'<path class="arrow" d="M{into} 232V188"/><path class="tip" d="M{into} 184l-5 9h10z"/>'
        f'<path class="arrow" d="M{out} 184V222"/><path class="tip" d="M{out} 229l-5 -9h10z"/></g>'
    )
