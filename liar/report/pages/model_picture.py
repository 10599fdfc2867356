"""Picture of a model: every layer with its heads as squares and its neurons as a strip, in SVG.

>>> from liar.report.pages.model_picture import model_picture
>>> from liar.store import RunStore
>>> result = RunStore().shipped_of("demo/minilm-sentiment")
>>> model_picture(result.sites, result.spec.reconstruction).count("<svg")
6
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, sqrt

from liar.choices import Reconstruction
from liar.report.pages.svg import colour_of
from liar.report.words.metric_sentences import percent
from liar.report.words.sentences import UNITS
from liar.report.words.site_sentences import error_words
from liar.results import SiteReport, removed_layers
from liar.sites import Site

_MANY_LAYERS = 12
"""Most layers that are drawn wide."""

_GAP, _STRIP = 10, 24
"""Height of the space between the heads and the neurons of a layer, and of the neurons."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How each layer is drawn: its ``width``, the ``columns`` of its ``heads`` and the ``bars`` of its neurons, and how many
    layers are in a row at most, on a wide and on a narrow page.
    """

    width: int
    columns: int
    bars: int
    heads: int
    in_row: tuple[int, int]

    @classmethod
    def of(cls, layers: int, heads: int) -> _Shape:
        """Squares in two wide rows if few layers share the line, else in a block."""
        is_wide = layers <= _MANY_LAYERS
        columns = max(1, ceil(sqrt(heads * (3 if is_wide else 1))))
        return cls(144, columns, 36, heads, (6, 3)) if is_wide else cls(48, columns, 12, heads, (16, 8))

    @property
    def size(self) -> float:
        """Side of the cell of a head."""
        return self.width / self.columns

    @property
    def top(self) -> float:
        """Upper edge of the neurons."""
        return ceil(self.heads / self.columns) * self.size + _GAP if self.heads else 0.0


def model_picture(
    sites: Sequence[SiteReport],
    repair: Reconstruction,
    whole: Sequence[Site] = (),
    *,
    is_cut: bool = False,
    selected: str = "",
) -> str:
    """HTML figure: kept units filled with the colour of their site's error, removed ones hollow.

    ``sites`` are those of a run or of a forecast, ``whole`` all sites of the model, so that a kind that is not pruned is drawn
    as well. Both errors are in the picture, that of the cut model and that after ``repair``; ``is_cut`` tells which is shown.
    An element with ``data-site`` has its ``data-words``. Empty if there is nothing to draw.
    """
    found = {site.name: site for site in sites}
    units: dict[str, Site | SiteReport] = {site.name: site for site in whole} | found
    if not units:
        return ""
    layers = sorted({site.layer for site in units.values()})
    heads = max((site.units for site in units.values() if site.kind == "attention"), default=0)
    shape = _Shape.of(len(layers), heads)
    height = shape.top + (_STRIP if any(site.kind == "ffn" for site in units.values()) else -_GAP)
    drawn, gone = [], removed_layers(sites)
    for layer in layers:
        parts = [
            _site(found.get(name), each, shape, repair, is_selected=name == selected, is_gone=layer in gone)
            for name, each in units.items()
            if each.layer == layer
        ]
        drawn.append(f'<svg viewBox="-1 -1 {shape.width + 2} {height + 2:.1f}">{"".join(parts)}</svg>')
    rows = [ceil(len(layers) / ceil(len(layers) / most)) for most in shape.in_row]
    return (
        f'<figure class="model {"cut" if is_cut else "repaired"}"><div role="img" style="--wide:{rows[0]};--narrow:{rows[1]}" '
        f'aria-label="{escape(picture_words(sites, len(layers)))}">{"".join(drawn)}</div></figure>'
    )


def picture_words(sites: Sequence[SiteReport], layers: int) -> str:
    """The picture in one sentence, for a screen reader; the table of all sites has the rest."""
    kept = []
    for kind, name in UNITS.items():
        if of_kind := [site for site in sites if site.kind == kind]:
            share = sum(site.kept for site in of_kind) / sum(site.units for site in of_kind)
            kept.append(f"{percent(share)} of the {name}")
    stays = f"{' and '.join(kept)} stay" if kept else "all units stay"
    return f"The {layers} layers of the model: {stays}. All sites are in the table below."


def _site(
    report: SiteReport | None,
    site: Site | SiteReport,
    shape: _Shape,
    repair: Reconstruction,
    *,
    is_selected: bool,
    is_gone: bool,
) -> str:
    kept = set(report.kept_units if report else () if is_gone else range(site.units))
    draw = _heads if site.kind == "attention" else _neurons
    errors = _errors_of(report, repair)
    colours = "".join(f"--{state}:{colour_of(error)};" for state, error in errors.items())
    words = f"Layer {site.layer}: {len(kept):,} of {site.units:,} {UNITS[site.kind]} stay"
    words += (
        "; error " + ", ".join(f"{error_words(error)} {state}" for state, error in errors.items()) if errors else ""
    )
    return (
        f'<g class="site{" selected" if is_selected else ""}" data-site="{site.name if report else ""}" '
        f'data-words="{words}." style="{colours}">{draw(kept, site.units, shape)}</g>'
    )


def _errors_of(report: SiteReport | None, repair: Reconstruction) -> dict[str, float]:
    """The errors of a site that are known: of the ``cut`` and of the ``repaired`` model."""
    names: dict[str, Reconstruction] = {"cut": "none", "repaired": repair}
    return {state: report.error[name] for state, name in names.items() if report and name in report.error}


def _heads(kept: set[int], units: int, shape: _Shape) -> str:
    """A square for each head."""
    side = shape.size * 0.8
    at = {unit: (unit % shape.columns * shape.size, unit // shape.columns * shape.size) for unit in range(units)}
    square = f"h{side:.1f}v{side:.1f}h-{side:.1f}z"
    parts = []
    for name, chosen in (("gone", at.keys() - kept), ("unit", at.keys() & kept)):
        path = "".join(f"M{at[unit][0]:.1f} {at[unit][1]:.1f}{square}" for unit in sorted(chosen))
        parts.append(f'<path class="{name}" d="{path}"/>')
    bottom = ceil(units / shape.columns) * shape.size
    return f'<rect class="ground" width="{shape.width}" height="{bottom:.1f}"/>{"".join(parts)}'


def _neurons(kept: set[int], units: int, shape: _Shape) -> str:
    """A bar for each of equal ranges of neurons, as high as the share of them that stays."""
    wide = shape.width / shape.bars
    counts = [0] * shape.bars
    for unit in kept:
        counts[unit * shape.bars // units] += 1
    path = ""
    for place, count in enumerate(counts):
        of_range = -(-(place + 1) * units // shape.bars) - -(-place * units // shape.bars)
        high = _STRIP * count / of_range if of_range else 0.0
        path += (
            f"M{place * wide:.1f} {shape.top + _STRIP:.1f}v-{high:.1f}h{wide * 0.8:.1f}v{high:.1f}z" if count else ""
        )
    area = f'y="{shape.top:.1f}" width="{shape.width - 0.2 * wide:.1f}" height="{_STRIP}"/>'
    return f'<rect class="ground" {area}<rect class="gone" {area}<path class="unit" d="{path}"/>'
