"""Heatmap of the error of every site, layer x site, on one colour scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from liar.report.plots.frame import DIVERGING, FONT, SMALLEST_ERROR, STANDOFF, drawing, title
from liar.report.view import HeatmapView, Scale
from liar.report.words.site_sentences import error_words, errors_of, reconstructions_of
from liar.results import SiteReport
from liar.spec import Reconstruction, SiteKind

DECADES = 2.0
"""Length of a fitted colour scale below the largest error. Smaller errors, as of a site dominated by a few massive
tokens, get the darkest colour, so that they do not use up the colours of the other sites."""

SAME_ERRORS: dict[Scale, tuple[float, float]] = {"log": (1e-3, 1.0), "linear": (0.0, 1.0)}
SAME_DIFFERENCES: dict[Scale, tuple[float, float]] = {"log": (0.1, 10.0), "linear": (-1.0, 1.0)}
"""Ends of the colour scale that is the same for all recipes. An error of 1 is all of a site's output for any model; a
difference on the log scale is a ratio."""

_BY_HAND = "error not known for units chosen by hand"

DEFAULT_VIEW = HeatmapView()

_CELL, _GAP = 34, 34
"""Height of a site in the heatmap and of the space for a strip's title, in pixels."""

_KINDS: dict[SiteKind, str] = {"ffn": "FFN", "attention": "attention"}  # from the bottom of a strip upwards
_TICKS = tuple(digit * 10.0**power for power in range(-6, 7) for digit in (1, 3))

_OUTLINE = (("black", 4), ("white", 1.5))
"""Colours and widths: a white line within a black one is visible on every cell and on a light or dark page."""


@dataclass(frozen=True, slots=True)
class _Strip:
    """Title of a strip, and for each site its value on the colour axis and the text of its cell."""

    title: str
    value: Callable[[SiteReport], float | None]
    words: Callable[[SiteReport], str]


def error_heatmap(
    sites: Sequence[SiteReport],
    view: HeatmapView = DEFAULT_VIEW,
    *,
    selected: str = "",
    about: Mapping[str, str] | None = None,
) -> go.Figure:
    """Layer x site: a strip for each reconstruction on one colour scale, or the difference of two.

    A difference is the error of the first reconstruction divided by that of the second on the log scale, and minus it
    on the linear one. ``customdata`` of a cell holds its text and the name of its site; ``selected`` names the site to
    outline, ``about`` is stored as ``layout.meta``. Fast enough to follow a slider.
    """
    kinds = [kind for kind in _KINDS if any(site.kind == kind for site in sites)]
    layers = sorted({site.layer for site in sites})
    at = {(site.layer, site.kind): site for site in sites}
    cells = [[at.get((layer, kind)) for layer in layers] for kind in kinds]
    strips = _strips(sites, view)
    height = _CELL * max(len(kinds), 1)
    drawn = len(strips) * height + (len(strips) - 1) * _GAP
    bottoms = [drawn - height - index * (height + _GAP) for index in range(len(strips))]
    names = ["y", *(f"y{index + 1}" for index in range(1, len(strips)))]
    layout: dict[str, Any] = {
        "xaxis": {
            "anchor": names[-1],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "constrain": "domain",
            "title": {"text": "layer", "standoff": 4, "font": FONT},
            "dtick": layer_ticks(layers),
        },
        "coloraxis": coloraxis(view, colour_limits(sites, view), -62 / drawn),
        "meta": dict(about or {}),
        "annotations": [
            title(strip.title, (bottom + height) / drawn) for strip, bottom in zip(strips, bottoms, strict=True)
        ],
        "shapes": [
            shape
            for name in names
            for site in sites
            if site.name == selected
            for shape in _outlines(name, site.layer, kinds.index(site.kind))
        ],
    }
    for name, bottom in zip(names, bottoms, strict=True):
        layout[name.replace("y", "yaxis")] = {
            "anchor": "x",
            "domain": [bottom / drawn, (bottom + height) / drawn],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "automargin": True,
            **STANDOFF,
        }
    data = [
        {
            "type": "heatmap",
            "x": layers,
            "y": [_KINDS[kind] for kind in kinds],
            "z": [[strip.value(cell) if cell else None for cell in line] for line in cells],
            "customdata": [[[strip.words(cell), cell.name] if cell else ["", ""] for cell in line] for line in cells],
            "hovertemplate": "%{customdata[0]}<extra></extra>",
            "hoverongaps": True,  # the hover text explains why a cell has no colour
            "coloraxis": "coloraxis",
            "xgap": 1,
            "ygap": 1,
            "yaxis": name,
        }
        for name, strip in zip(names, strips, strict=True)
    ]
    return drawing(data, layout, drawn=drawn, bottom=114, left=8, right=8)


def layer_ticks(layers: Sequence[int]) -> int:
    """Distance of the ticks of an axis of layers: without one an axis of few layers has ticks at their halves."""
    return 5 if len(layers) > 12 else 1


def colour_limits(sites: Sequence[SiteReport], view: HeatmapView) -> tuple[float, float]:
    """Ends of the colour scale, as errors, ratios or differences. By default constant, so that colours of recipes compare.
    Fitted ones depend on all reconstructions of ``sites``, so that colours of views of the same sites compare.
    """
    if view.colours == "same":
        return (SAME_DIFFERENCES if view.difference else SAME_ERRORS)[view.scale]
    errors = [list(found.values()) for site in sites if (found := errors_of(site, view.weighting))]
    if view.difference and view.scale == "log":
        ratios = [max(*values, SMALLEST_ERROR) / max(min(values), SMALLEST_ERROR) for values in errors]
        widest = min(max([1.1, *ratios]), 10**DECADES)
        return 1 / widest, widest
    if view.difference:
        widest = max([max(values) - min(values) for values in errors], default=0.0) or 1.0
        return -widest, widest
    largest = max([max(values) for values in errors], default=0.0)
    if view.scale == "linear":
        return 0.0, largest or 1.0
    low = log10(max(min([min(values) for values in errors], default=0.0), SMALLEST_ERROR))
    high = log10(max(largest, SMALLEST_ERROR))
    low, high = (max(low, high - DECADES), high) if high - low > 0.1 else (floor(low), floor(low) + 1)
    return 10**low, 10**high


def _strips(sites: Sequence[SiteReport], view: HeatmapView) -> list[_Strip]:
    if view.difference:
        return [_difference(sites, view, *view.difference)]
    known = reconstructions_of(sites)
    return [_strip(sites, view, name) for name in view.strips if name in known or view.show != "all"]


def _strip(sites: Sequence[SiteReport], view: HeatmapView, name: Reconstruction) -> _Strip:
    def value(site: SiteReport) -> float | None:
        error = errors_of(site, view.weighting).get(name)
        return None if error is None else _colour(error, view)

    missing = _missing(sites, name)
    known = [errors[name] for site in sites if name in (errors := errors_of(site, view.weighting))]
    mean = f"mean {error_words(fmean(known))}{_of_known(len(known), len(sites))}" if known else missing
    return _Strip(f"<b>{name}</b>  {mean}", value, lambda site: _site_words(site, name, missing))


def _missing(sites: Sequence[SiteReport], *names: Reconstruction) -> str:
    """Why a cell has no error of ``names``: an older result lacks newer ones, a forecast some of units chosen by hand."""
    known = reconstructions_of(sites)
    return next((f"no error of {name} is known" for name in names if name not in known), _BY_HAND)


def _of_known(known: int, sites: int) -> str:
    return "" if known == sites else f" of {known} of {sites} sites"


def _difference(
    sites: Sequence[SiteReport], view: HeatmapView, first: Reconstruction, second: Reconstruction
) -> _Strip:
    def value(site: SiteReport) -> float | None:
        errors = errors_of(site, view.weighting)
        if not {first, second} <= errors.keys():
            return None
        return _colour(errors[first], view) - _colour(errors[second], view)

    known = [difference for site in sites if (difference := value(site)) is not None]
    words = missing = _missing(sites, first, second)
    if known and view.scale == "linear":
        words = f"mean {fmean(known):.3g}{_of_known(len(known), len(sites))}"
    elif known:
        words = f"geometric mean {10 ** fmean(known):.3g}{_of_known(len(known), len(sites))}"
    title = f"<b>{first} {'-' if view.scale == 'linear' else '÷'} {second}</b>  {words}"
    return _Strip(title, value, lambda site: _difference_words(site, view, first, second, missing))


def _colour(error: float, view: HeatmapView) -> float:
    """Value on the colour axis of an error or a ratio of errors."""
    return log10(max(error, SMALLEST_ERROR)) if view.scale == "log" else error


# -- the colour scale -----------------------------------------------------------------------------------------------------


def coloraxis(view: HeatmapView, limits: tuple[float, float], y: float) -> dict[str, Any]:
    """Colour axis of errors between ``limits``, its bar below the plot at ``y`` in paper coordinates."""
    low, high = (_colour(end, view) for end in limits)
    bar: dict[str, Any] = {
        "orientation": "h",  # below the plot, to leave the width of a narrow page to the layers
        "title": {"text": _unit(view), "side": "top", "font": FONT},
        "tickangle": 0,
        "nticks": 6,
        "thickness": 10,
        "outlinewidth": 0,
        "y": y,
        "yanchor": "top",
        "ypad": 0,
    }
    if view.scale == "log":
        ticks = _ratio_ticks(high) if view.difference else _error_ticks(low, high)
        bar |= {"tickvals": list(ticks), "ticktext": list(ticks.values())}
    return {"colorscale": DIVERGING if view.difference else "Viridis", "cmin": low, "cmax": high, "colorbar": bar}


def _unit(view: HeatmapView) -> str:
    error = "error" if view.weighting == "plain" else "norm-aware error"
    if view.difference is None:
        return f"{error} ({view.scale} scale)"
    if view.scale == "linear":
        return f"difference of {error}s"
    return f"ratio of {error}s (log scale)"


def _error_ticks(low: float, high: float) -> dict[float, str]:
    first = low + 0.2 * (high - low)  # the label of the low end is that wide on a narrow page
    ticks = {log10(tick): f"{tick:g}" for tick in _TICKS if first < log10(tick) <= high}
    return {low: f"≤ {10**low:.2g}", **ticks}


def _ratio_ticks(high: float) -> dict[float, str]:
    return {part * high: f"{10 ** (part * high):.2g}" for part in (-1.0, -0.5, 0.0, 0.5, 1.0)}


# -- cells ----------------------------------------------------------------------------------------------------------------


def _outlines(axis: str, layer: int, row: int) -> list[dict[str, Any]]:
    """Rectangles around one cell of a strip."""
    box = {"x0": layer - 0.5, "x1": layer + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    return [
        {"type": "rect", "xref": "x", "yref": axis, **box, "line": {"color": colour, "width": width}}
        for colour, width in _OUTLINE
    ]


def _site_words(site: SiteReport, name: Reconstruction, missing: str) -> str:
    if name not in site.error:
        return f"<b>{site.name}</b>, {name}<br>{missing}<br>{_kept_words(site)}"
    return (
        f"<b>{site.name}</b>, {name}<br>error {error_words(site.error[name])} of the output's energy"
        f"<br>norm-aware error {error_words(site.norm_aware_error[name])}<br>{_kept_words(site)}"
    )


def _difference_words(
    site: SiteReport, view: HeatmapView, first: Reconstruction, second: Reconstruction, missing: str
) -> str:
    errors = errors_of(site, view.weighting)
    if not {first, second} <= errors.keys():
        return f"<b>{site.name}</b>, {first} to {second}<br>{missing}<br>{_kept_words(site)}"
    label = "error" if view.weighting == "plain" else "norm-aware error"
    ratio = max(errors[first], SMALLEST_ERROR) / max(errors[second], SMALLEST_ERROR)
    change = f"{ratio:.3g} times smaller" if ratio >= 1 else f"{1 / ratio:.3g} times larger"
    return (
        f"<b>{site.name}</b>, {first} to {second}<br>{label} {errors[first]:.4g} → {errors[second]:.4g} of the "
        f"output's energy<br>{change}<br>{_kept_words(site)}"
    )


def _kept_words(site: SiteReport) -> str:
    unit = "neurons" if site.kind == "ffn" else "query heads"
    return f"{site.kept:,} of {site.units:,} {unit} kept"
