"""Schematic pictures of matrices, drawn to scale from the sizes of a model: what a unit is, a repair, a cut covariance.

Each takes the figures of a picture by their labels, and returns SVG of :data:`WIDTH` units. What it says is in the picture's
``alt``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

from markupsafe import Markup

from liar.course.figures import Known

WIDTH = 480
_THINNEST = 4
"""Units of a row or a column that is cut out: one of a thousand would not be seen."""


def units(shown: Mapping[str, Known]) -> Markup:
    """A neuron in the two matrices of a feed-forward layer and a head in the four of attention, as PyTorch stores them.

    ``shown``: numbers of ``neurons``, ``heads`` and ``channels`` of a head of one layer, and the ``width`` of the model.
    """
    neurons, heads, channels, width = (float(shown[name].value) for name in ("neurons", "heads", "channels", "width"))
    long, short, high, side = 150.0, 150 * width / neurons, 58.0, 88.0
    top, thin, part = high + long + 66, max(_THINNEST, long / neurons), side / heads
    wide = side * width / (heads * channels)  # of Q, K and V; O is the transpose
    left = [place * (wide + 28) for place in range(4)]
    return _svg(
        top + side + 32,
        [
            _text(0, 16, "A neuron: one row, and one column", "strong"),
            _text(60 + short / 2, high - 22, f"{neurons:,.0f} rows", "middle quiet"),
            *_cut("W_in", 60, high, short, long, 0, (short - thin) / 2, short, thin),
            _text(160, high + short / 2 + 5, "→", "middle"),
            _text(220 + long / 2, high - 22, f"{neurons:,.0f} columns", "middle quiet"),
            *_cut("W_out", 220, high, long, short, (short - thin) / 2, 0, thin, short),
            _text(0, top - 36, f"A head: {channels:.0f} rows three times, and {channels:.0f} columns", "strong"),
            *_cut("W_Q", left[0], top, wide, side, 0, 4 * part, wide, part),
            *_cut("W_K", left[1], top, wide, side, 0, 4 * part, wide, part),
            *_cut("W_V", left[2], top, wide, side, 0, 4 * part, wide, part),
            _text(left[3] - 14, top + side / 2, "→", "middle"),
            *_cut("W_O", left[3], top, side, wide, 4 * part, 0, part, wide),
            _text(0, top + side + 22, f"Each is {heads * channels:,.0f} by {width:,.0f}.", "quiet"),
        ],
    )


def product(shown: Mapping[str, Known]) -> Markup:
    """The repaired weight of each site, W_u + Q W_m = W', all matrices to one scale.

    ``shown``: by the site [kept, removed, outputs].
    """
    scale = 100 / max(max(known.value) for known in shown.values())
    parts, y = [], 0.0
    for site, known in shown.items():
        kept, removed, outputs = (scale * size for size in known.value)
        rows, _, columns = known.value
        parts.append(_text(0, y + 16, f"{site}: {rows:,.0f} rows stay, {columns:,.0f} outputs", "strong"))
        top, x = y + 48, 6.0
        for symbol, words, wide, high, name, after in (
            ("W_u", "kept rows", outputs, kept, "", "+"),
            ("Q", "prediction", removed, kept, "shared", "·"),
            ("W_m", "removed rows", outputs, removed, "gone", "="),
            ("W'", "new rows", outputs, kept, "", ""),
        ):
            room = max(wide, 84.0)  # of the words
            middle = x + room / 2
            parts += [
                _text(middle, top - 8, symbol, "middle"),
                _rect(middle - wide / 2, top, wide, high, name),
                _text(middle, top + max(kept, removed) + 18, words, "middle quiet"),
                _text(x + room + 12, top + min(kept, removed) / 2 + 5, after, "middle"),
            ]
            x += room + 24
        y = top + max(kept, removed) + 42
    return _svg(y - 12, parts)


def cuts(shown: Mapping[str, Known]) -> Markup:
    """One covariance with its channels in order, cut at several places: [share removed, error that is left] each."""
    (known,) = shown.values()
    side, gap = 136.0, (WIDTH - 3 * 136.0) / 2
    parts = []
    for place, (share, error) in enumerate(known.value):
        x, y, kept = place * (side + gap), 28.0, side * (1 - share)
        removed = side - kept
        blocks = (
            (0.0, 0.0, kept, kept, "", "C_uu"),
            (kept, 0.0, removed, kept, "shared", "C_um"),
            (0.0, kept, kept, removed, "shared", "C_mu"),
            (kept, kept, removed, removed, "gone", "C_mm"),
        )
        parts.append(_text(x + side / 2, 16, f"{share:.0%} removed".replace("%", " %"), "middle"))
        for across, down, wide, high, name, symbol in blocks:
            parts.append(_rect(x + across, y + down, wide, high, name))
            if min(wide, high) > 36:
                parts.append(_text(x + across + wide / 2, y + down + high / 2 + 5, symbol, "middle on"))
        parts.append(_text(x + side / 2, y + side + 20, f"error {known.words_of(error)}", "middle"))
    return _svg(196, parts)


def stacks(shown: Mapping[str, Known]) -> Markup:
    """A bar for each list of parts, as long as their sum, cut into the parts from the first to the last."""
    high = max(sum(known.value) for known in shown.values())
    parts, y = [], 0.0
    for label, known in shown.items():
        parts.append(_text(0, y + 16, f"{label}: {known.words_of(sum(known.value))}", "strong"))
        ends = [0.0, *accumulate(WIDTH * value / high for value in known.value)]
        for place, (start, end) in enumerate(pairwise(ends)):
            title = f"layer {place}: {known.words_of(known.value[place])}"
            parts.append(_rect(start, y + 24, end - start, 26, "slice", title))
        y += 66
    return _svg(y - 8, parts)


def _cut(symbol: str, x: float, y: float, width: float, height: float, *gone: float) -> tuple[Markup, ...]:
    """A matrix with its symbol above, and what is cut out of it: place inside and size."""
    across, down, wide, high = gone
    name = _text(x + width / 2, y - 6, symbol, "middle")
    return name, _rect(x, y, width, height), _rect(x + across, y + down, wide, high, "gone")


def _svg(height: float, parts: list[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
        WIDTH, round(height), Markup("").join(parts)
    )


def _rect(x: float, y: float, width: float, height: float, name: str = "", title: str = "") -> Markup:
    places = [round(each, 1) for each in (x, y, width, height)]
    words = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(name, *places, words)


def _text(x: float, y: float, words: str, name: str) -> Markup:
    """Words at a place; what follows ``_`` in a symbol is its index."""
    symbol, _, index = words.partition("_")
    lower = Markup('<tspan class="index" dy="3">{}</tspan>').format(index) if index else ""
    return Markup('<text class="{}" x="{}" y="{}">{}{}</text>').format(name, round(x, 1), round(y, 1), symbol, lower)
