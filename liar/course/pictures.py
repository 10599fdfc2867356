"""Pictures of the lessons as SVG, with the same numbers as a table beneath: they need no script, no library and no model.

>>> from liar.course.lesson import lessons
>>> from liar.course.figures import Shelf
>>> from liar.course.pictures import drawn
>>> lesson = lessons()[0]
>>> "<svg" in drawn(lesson.look, lesson.known(Shelf()))
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat, takewhile

from markupsafe import Markup
from plotly.colors import sample_colorscale

from liar.choices import REPAIRS
from liar.course import matrix_pictures
from liar.course.figures import Known
from liar.course.lesson import Picture, filled
from liar.report.plots.frame import DIVERGING

WIDTH, HEIGHT = 480, 260
"""Units of a picture: so few that its words are readable on a phone."""
LEFT, BOTTOM, TOP = 54, 34, 12

_SHADES = 21
"""Colours of a matrix."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a value of a plot from 0 to ``high`` and a place from 0 to 1 lie."""

    high: float

    def x(self, share: float) -> float:
        return round(LEFT + share * (WIDTH - LEFT - 12), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - value / self.high * (HEIGHT - BOTTOM - TOP), 1)


def drawn(picture: Picture, known: Mapping[str, Known]) -> Markup:
    """A figure with its title, and its numbers as text."""
    shown = {label: known[name] for label, name in picture.shown.items()}
    if picture.kind == "curves":
        svg, numbers = _curves(shown, {label: float(known[name].value) for label, name in picture.marks.items()})
    elif picture.kind in _DRAW:
        svg, numbers = _DRAW[picture.kind](shown)
    else:
        svg, numbers = _DRAW_WITHOUT_TABLE[picture.kind](shown), Markup("")
    alt = Markup('<p class="quiet">{}</p>').format(filled(picture.alt, known)) if picture.alt else ""
    return Markup('<figure class="picture"><figcaption>{}</figcaption>{}{}{}</figure>').format(
        filled(picture.title, known), svg, alt, numbers
    )


def plot(axes: Axes, curves: Mapping[str, Known]) -> Markup:
    """Grid, numbers at the axes, and curves over a share from 0 to 100 %."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        parts.append(_grid_line(axes, share * axes.high, f"{share * axes.high:.3g}"))
        anchor = "end" if share == 1 else "middle"
        mark = Markup('<text class="{}" x="{}" y="{}">{:.0f} %</text>')
        parts.append(mark.format(anchor, axes.x(share), HEIGHT - 10, 100 * share))
    for label, known in curves.items():
        inside = enumerate(takewhile(lambda value: value <= axes.high, known.value))
        points = " ".join(f"{axes.x(place / 100)},{axes.y(value)}" for place, value in inside)
        line = Markup('<polyline points="{}" stroke="{}" stroke-dasharray="{}"/>')
        parts.append(line.format(points, *_line_of(label, curves)))
    return Markup("").join(parts)


def _grid_line(axes: Axes, value: float, words: str) -> Markup:
    """A line across the plot at ``value``, with its number at the left axis."""
    y = axes.y(value)
    line = Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, axes.x(1), y)
    return line + Markup('<text class="end" x="{}" y="{}">{}</text>').format(LEFT - 8, y + 5, words)


def _each(pattern: str, rows: Iterable[Sequence[object]]) -> Markup:
    """``pattern`` with each of ``rows`` in its places."""
    return Markup("").join(Markup(pattern).format(*row) for row in rows)


def bars(shown: Mapping[str, Known], classes: Iterable[str] = repeat("")) -> Markup:
    """A table of bars, whose words wrap on a narrow screen; a row may have a class. A measured bar has its whisker."""
    high = max(float(known.value) + (known.stderr or 0.0) for known in shown.values()) or 1.0
    rows = _each(
        '<tr class="{}"><th scope="row">{}</th><td class="number">{}</td><td class="bar"><svg viewBox="0 0 100 8" '
        'preserveAspectRatio="none" aria-hidden="true"><rect width="{}" height="8"/>{}</svg></td></tr>',
        (
            (name, label, _with_error(known), round(100 * float(known.value) / high, 2), _whisker(known, high))
            for name, (label, known) in zip(classes, shown.items(), strict=False)
        ),
    )
    return Markup('<table class="bars"><tbody>{}</tbody></table>').format(rows)


def _bars(shown: Mapping[str, Known]) -> tuple[Markup, Markup]:
    """Bars are their own table."""
    errors = "Without whiskers: these are of all of the calibration text, not of a sample."
    if all(known.stderr is not None for known in shown.values()):
        errors = "Whiskers: one standard error."
    about = Markup('<p class="quiet">{}</p>').format(errors)
    return bars(shown), about


def _with_error(known: Known) -> str:
    """``85.5 ± 1.0 %``."""
    if known.stderr is None:
        return known.words
    number, _, unit = known.words.partition(" ")
    return f"{number} ± {known.words_of(known.stderr).partition(' ')[0]} {unit}".rstrip()


def _whisker(known: Known, high: float) -> Markup:
    """One standard error to each side of the end of a bar."""
    if known.stderr is None:
        return Markup("")
    low, up = (round(100 * (float(known.value) + sign * known.stderr) / high, 2) for sign in (-1, 1))
    return Markup('<path class="whisker" d="M{0} 4H{1}M{0} 1.5V6.5M{1} 1.5V6.5"/>').format(low, up)


def _curves(shown: Mapping[str, Known], marks: Mapping[str, float]) -> tuple[Markup, Markup]:
    """Curves with points at ``marks``, places from 0 to 1; with marks they are cut off well above the highest mark."""
    at = {label: (place, shown[label].value[round(100 * place)]) for label, place in marks.items()}
    above = 3 * max((value for _, value in at.values()), default=0)
    axes = Axes(float(f"{above:.0e}") or max(max(known.value) for known in shown.values()))  # shortly written
    points = _each(
        '<circle cx="{}" cy="{}" r="7" fill="{}"/>',
        ((axes.x(place), axes.y(value), _line_of(label, shown)[0]) for label, (place, value) in at.items()),
    )
    svg = _svg(plot(axes, shown) + points)
    rows = [
        (f"{percent} %", *(known.words_of(known.value[percent]) for known in shown.values()))
        for percent in range(0, 101, 10)
    ]
    key = (
        '<span><svg class="key" viewBox="0 0 26 6" aria-hidden="true">'
        '<line x1="0" x2="26" y1="3" y2="3" stroke="{}" stroke-dasharray="{}"/></svg> {}</span> '
    )
    legend = Markup('<p class="legend">{}</p>').format(
        _each(key, ((*_line_of(label, shown), label) for label in shown))
    )
    return svg + legend, _table(("removed", *shown), rows)


def _line_of(label: str, labels: Iterable[str]) -> tuple[str, str]:
    """Colour and dashes of a curve: those of the repair that it is named after, else those of its place among ``labels``."""
    other = list(REPAIRS.values())[list(labels).index(label)]
    repair = next((repair for name, repair in REPAIRS.items() if name == label), other)
    return repair.colour, {"solid": "none", "dot": "2 4"}.get(repair.dash, "8 4")


def _columns(shown: Mapping[str, Known]) -> tuple[Markup, Markup]:
    ((label, known),) = shown.items()
    axes, values = Axes(max(known.value)), known.value
    wide = round(axes.x(1 / len(values)) - axes.x(0) - 1, 1)
    grid = [_grid_line(axes, high, known.words_of(high)) for high in (0.0, axes.high / 2, axes.high)]
    places = [(axes.x(place / len(values)), axes.y(value)) for place, value in enumerate(values)]
    rows = [(place, known.words_of(value)) for place, value in enumerate(values)]
    columns = _each(
        f'<rect x="{{}}" y="{{}}" width="{wide}" height="{{}}"><title>layer {{}}: {{}}</title></rect>',
        ((x, y, round(axes.y(0) - y, 1), *row) for (x, y), row in zip(places, rows, strict=True)),
    )
    ticks = _each(
        f'<text class="middle" x="{{}}" y="{HEIGHT - 10}">{{}}</text>',
        ((axes.x((place + 0.5) / len(values)), place) for place in range(0, len(values), 5 if len(values) > 12 else 1)),
    )
    return _svg(Markup("").join([*grid, columns, ticks])), _table(("layer", label), rows)


def _matrix(shown: Mapping[str, Known]) -> tuple[Markup, Markup]:
    """One path for each colour: two thousand rectangles of their own would be five times as large."""
    ((_, known),) = shown.items()
    paths: dict[int, list[str]] = {}
    for row, line in enumerate(known.value):
        for column, value in enumerate(line):
            shade = round((min(1.0, max(-1.0, value)) + 1) / 2 * (_SHADES - 1))
            paths.setdefault(shade, []).append(f"M{column} {row}h1v1h-1z")
    colours = sample_colorscale(DIVERGING, [shade / (_SHADES - 1) for shade in range(_SHADES)])
    cells = _each('<path fill="{}" d="{}"/>', ((colours[shade], "".join(parts)) for shade, parts in paths.items()))
    size = len(known.value)
    svg = Markup('<svg class="matrix" viewBox="0 0 {0} {0}" aria-hidden="true">{1}</svg>').format(size, cells)
    return svg, Markup('<p class="quiet">Blue: 1, they rise together. Orange: -1, one rises when the other falls.</p>')


def _svg(content: Markup) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(WIDTH, HEIGHT, content)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    cell = '<td class="number">{}</td>'
    body = _each("<tr>{}</tr>", ((_each(cell, ((value,) for value in row)),) for row in rows))
    return Markup(
        "<details><summary>As a table</summary><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></details>"
    ).format(_each('<th scope="col">{}</th>', ((title,) for title in header)), body)


def _stacks(shown: Mapping[str, Known]) -> tuple[Markup, Markup]:
    layers = zip(*([known.words_of(value) for value in known.value] for known in shown.values()), strict=True)
    return matrix_pictures.stacks(shown), _table(("layer", *shown), [(at, *row) for at, row in enumerate(layers)])


_DRAW = {"bars": _bars, "columns": _columns, "matrix": _matrix, "stacks": _stacks}
_DRAW_WITHOUT_TABLE = {"units": matrix_pictures.units, "product": matrix_pictures.product, "cuts": matrix_pictures.cuts}
