"""Heatmaps: the errors of every site, layer x site, on one colour scale; those of two runs compared; and those of the runs of
layers that a removal tried, first layer by length, coloured by the error that the patch leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import floor, log10
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from liar.choices import Reconstruction
from liar.report.plots.frame import (
    BARE,
    COLOUR_BAR,
    DIVERGING,
    FONT,
    SMALLEST_ERROR,
    STANDOFF,
    axis,
    cells,
    drawing,
    empty,
    outlines,
    title,
)
from liar.report.view import Scale, View
from liar.report.words.findings import named
from liar.report.words.site_sentences import KINDS, error_words, errors_of, reconstructions_of
from liar.results import RunResult, SiteReport, TriedRun
from liar.spec import SiteKind
from liar.statistics.compare import common_sites

DECADES = 2.0
"""Length of a fitted colour scale below the largest error. Smaller errors, as of a site dominated by a few massive
tokens, get the darkest colour, so that they do not use up the colours of the other sites."""

SAME_ERRORS: dict[Scale, tuple[float, float]] = {"log": (1e-3, 1.0), "linear": (0.0, 1.0)}
SAME_DIFFERENCES: dict[Scale, tuple[float, float]] = {"log": (0.1, 10.0), "linear": (-1.0, 1.0)}
"""Ends of the colour scale that is the same for all recipes. An error of 1 is all of a site's output for any model; a
difference on the log scale is a ratio."""

DEFAULT_VIEW = View()

_CELL, _GAP, _RUN = 34, 34, 22
"""Height of a site in the heatmap, of the space for a strip's title, and of a number of layers, in pixels."""

_WIDEST_RATIO = 100.0
"""Largest ratio of the errors of two runs that has a colour of its own."""

_TICKS = tuple(digit * 10.0**power for power in range(-6, 7) for digit in (1, 3))

_UNITS: dict[SiteKind, str] = {"ffn": "neurons", "attention": "query heads"}

_LAYERS = axis("layer", 4, showgrid=False)
_SITES = {**BARE, "automargin": True, **STANDOFF}
"""Axes of layers and of kinds of sites."""

_Grid = tuple[list[SiteKind], list[int], list[list[SiteReport | None]]]
_Names = tuple[Reconstruction, ...]
"""What a strip shows: the error of one reconstruction, or the difference of two."""


def error_heatmap(
    sites: Sequence[SiteReport], view: View = DEFAULT_VIEW, *, about: Mapping[str, str] | None = None
) -> go.Figure:
    """Layer x site: a strip for each reconstruction on one colour scale, or the difference of two.

    A difference is the error of the first reconstruction divided by that of the second on the log scale, and minus it
    on the linear one. ``customdata`` of a cell holds its text and the name of its site; the site of ``view`` is outlined,
    ``about`` is stored as ``layout.meta``. Fast enough to follow a slider.
    """
    grid = kinds, layers, _ = _grid(sites)
    known = reconstructions_of(sites)
    strips: list[_Names] = [(name,) for name in view.strips if name in known or view.show != "all"]
    strips += [view.difference] if view.difference else []
    height = _CELL * max(len(kinds), 1)
    drawn = len(strips) * (height + _GAP) - _GAP
    data, titles, shapes = [], [], []
    axes: dict[str, Any] = {}
    for index, names in enumerate(strips):
        number = str(index + 1) if index else ""
        bottom = drawn - height - index * (height + _GAP)
        domain = [bottom / drawn, (bottom + height) / drawn]
        # An older result lacks newer reconstructions, a forecast some errors of units chosen by hand.
        absent = (f"no error of {name} is known" for name in names if name not in known)
        missing = next(absent, "error not known for units chosen by hand")
        axes[f"yaxis{number}"] = {**_SITES, "anchor": "x", "domain": domain}
        titles.append(title(_title(sites, view, names, missing), domain[1]))
        for site in sites:
            if site.name == view.site:
                shapes += outlines(site.layer, kinds.index(site.kind), f"y{number}")
        value = partial(_value, view=view, names=names)
        words = partial(_site_words, view=view, names=names, missing=missing)
        # the hover text explains why a cell has no colour
        data.append(_cells(grid, value, words, hoverongaps=True, yaxis=f"y{number}"))
    layout = {
        "xaxis": {**_LAYERS, "anchor": data[-1]["yaxis"], "constrain": "domain", "dtick": layer_ticks(layers)},
        **axes,
        "coloraxis": coloraxis(view, colour_limits(sites, view), -62 / drawn),
        "meta": dict(about or {}),
        "annotations": titles,
        "shapes": shapes,
    }
    return drawing(data, layout, drawn=drawn, bottom=114, left=8, right=8)


def comparison_heatmap(a: RunResult, b: RunResult) -> go.Figure:
    """Layer x site: error of run A over that of run B, each with its reconstruction, on a log scale; blue: B is better.

    ``customdata`` of a cell holds its text and the name of its site.
    """
    pairs = common_sites(a, b)
    if not pairs:
        return empty("The two runs have no site in common.")
    ratios: dict[str, float] = {}
    words: dict[str, str] = {}
    for site, other in pairs:
        first, second = site.error[a.spec.reconstruction], other.error[b.spec.reconstruction]
        ratios[site.name] = _ratio(first, second)
        words[site.name] = (
            f"<b>{site.name}</b><br>error A {first:.4g}, B {second:.4g} of the output's energy"
            f"<br>kept A {site.kept:,}, B {other.kept:,} of {site.units:,} {_UNITS[site.kind]}"
        )
    grid = _grid([site for site, _ in pairs])
    widest = log10(min(max([1.1, *ratios.values(), *(1 / ratio for ratio in ratios.values())]), _WIDEST_RATIO))
    data = _cells(grid, lambda site: log10(ratios[site.name]), lambda site: words[site.name], hoverongaps=False)
    drawn = 44 * len(grid[0])
    bar = _bar("error of A ÷ error of B (log scale)", -62 / drawn, _ratio_ticks(widest))
    colours = {"colorscale": DIVERGING, "cmin": -widest, "cmax": widest, "colorbar": bar}
    layout = {"xaxis": _LAYERS, "yaxis": _SITES, "coloraxis": colours}
    return drawing([data], layout, drawn=drawn, bottom=114, left=8, right=8)


def layer_runs(
    tried: Sequence[TriedRun], removed: Collection[int] = (), *, about: Mapping[str, str] | None = None
) -> go.Figure:
    """First layer by number of layers; the run that went, the layers ``removed``, is outlined.

    ``customdata`` of a cell holds its text; ``about`` is stored as ``layout.meta``.
    """
    errors = {(run.first, run.layers): run.norm_aware_error for run in tried}
    firsts = sorted({first for first, _ in errors})
    lengths = sorted({length for _, length in errors})
    drawn = max(_RUN * len(lengths), 150)
    grid = [[errors.get((first, length)) for first in firsts] for length in lengths]
    view = View(weighting="norm-aware")
    colours = [[None if error is None else _colour(error, view) for error in line] for line in grid]
    words = [
        [[f"{named(range(at, at + length))}: error {error_words(errors.get((at, length)))}"] for at in firsts]
        for length in lengths
    ]
    layout: dict[str, Any] = {
        "xaxis": axis("first layer that goes", showgrid=False, dtick=layer_ticks(firsts)),
        "yaxis": axis("layers in a row", showgrid=False, dtick=max(1, len(lengths) // 8)),
        "coloraxis": coloraxis(view, SAME_ERRORS["log"], -84 / drawn),
        "meta": dict(about or {}),
        "annotations": [title("<b>What a patch leaves of each run of layers</b>")],
        "shapes": outlines(min(removed), len(removed)) if removed else [],
    }
    data = cells(firsts, lengths, colours, words, hoverongaps=False, coloraxis="coloraxis")
    return drawing([data], layout, drawn=drawn, bottom=136, left=60, right=10)


def _grid(sites: Sequence[SiteReport]) -> _Grid:
    """Kinds from the bottom upwards, layers, and the site of each kind in each layer."""
    kinds = [kind for kind in KINDS if any(site.kind == kind for site in sites)]
    layers = sorted({site.layer for site in sites})
    at = {(site.layer, site.kind): site for site in sites}
    return kinds, layers, [[at.get((layer, kind)) for layer in layers] for kind in kinds]


def _cells(
    grid: _Grid, value: Callable[[SiteReport], float | None], words: Callable[[SiteReport], str], **more: Any
) -> dict[str, Any]:
    """Cells with the value and the words of each site."""
    kinds, layers, lines = grid
    values = [[value(site) if site else None for site in line] for line in lines]
    texts = [[[words(site), site.name] if site else ["", ""] for site in line] for line in lines]
    return cells(layers, [KINDS[kind] for kind in kinds], values, texts, coloraxis="coloraxis", **more)


def layer_ticks(layers: Sequence[int]) -> int:
    """Distance of the ticks of an axis of layers: without one an axis of few layers has ticks at their halves."""
    return 5 if len(layers) > 12 else 1


def colour_limits(sites: Sequence[SiteReport], view: View) -> tuple[float, float]:
    """Ends of the colour scale, as errors, ratios or differences. By default constant, so that colours of recipes compare.
    Fitted ones depend on all reconstructions of ``sites``, so that colours of views of the same sites compare.
    """
    if view.colours == "same":
        return (SAME_DIFFERENCES if view.difference else SAME_ERRORS)[view.scale]
    errors = [list(found.values()) for site in sites if (found := errors_of(site, view.weighting))]
    if view.difference and view.scale == "log":
        ratios = [_ratio(max(values), min(values)) for values in errors]
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


def _value(site: SiteReport, view: View, names: _Names) -> float | None:
    """Value on the colour axis; None if an error is not known."""
    errors = errors_of(site, view.weighting)
    if not set(names) <= errors.keys():
        return None
    first, *second = (_colour(errors[name], view) for name in names)
    return first - sum(second)


def _title(sites: Sequence[SiteReport], view: View, names: _Names, missing: str) -> str:
    """Names of a strip, and the mean of what it shows over the sites at which that is known, else why it is ``missing``."""
    heading = f"<b>{(' - ' if view.scale == 'linear' else ' ÷ ').join(names)}</b>"
    known = [site for site in sites if set(names) <= errors_of(site, view.weighting).keys()]
    if not known:
        return f"{heading}  {missing}"
    left = sum(site.kept > 0 for site in sites)
    some = "" if len(known) == left else f" of {len(known)} of {left} sites"
    if len(names) == 1:
        errors = [errors_of(site, view.weighting)[names[0]] for site in known]
        return f"{heading}  mean {error_words(fmean(errors))}{some}"
    mean = fmean(_value(site, view, names) or 0.0 for site in known)
    return f"{heading}  {f'mean {mean:.3g}' if view.scale == 'linear' else f'geometric mean {10**mean:.3g}'}{some}"


def _colour(error: float, view: View) -> float:
    """Value on the colour axis of an error or a ratio of errors."""
    return log10(max(error, SMALLEST_ERROR)) if view.scale == "log" else error


# -- the colour scale -----------------------------------------------------------------------------------------------------


def coloraxis(view: View, limits: tuple[float, float], y: float) -> dict[str, Any]:
    """Colour axis of errors between ``limits``, its bar below the plot at ``y`` in paper coordinates."""
    low, high = (_colour(end, view) for end in limits)
    ticks = _ratio_ticks(high) if view.difference else _error_ticks(low, high)
    bar = _bar(_unit(view), y, ticks if view.scale == "log" else {})
    return {"colorscale": DIVERGING if view.difference else "Viridis", "cmin": low, "cmax": high, "colorbar": bar}


def _bar(words: str, y: float, ticks: Mapping[float, str]) -> dict[str, Any]:
    """Colour bar below the plot; without ``ticks`` plotly chooses them."""
    heading = {"text": words, "side": "top", "font": FONT}
    ticked = {"tickvals": list(ticks), "ticktext": list(ticks.values())} if ticks else {}
    return {**COLOUR_BAR, "title": heading, "tickangle": 0, "nticks": 6, "y": y, "ypad": 0, **ticked}


def _unit(view: View) -> str:
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


def _ratio(first: float, second: float) -> float:
    return max(first, SMALLEST_ERROR) / max(second, SMALLEST_ERROR)


def _site_words(site: SiteReport, view: View, names: _Names, missing: str) -> str:
    errors = errors_of(site, view.weighting)
    if not set(names) <= errors.keys():
        words = missing
    elif len(names) == 1:
        plain, aware = error_words(site.error[names[0]]), error_words(site.norm_aware_error[names[0]])
        words = f"error {plain} of the output's energy<br>norm-aware error {aware}"
    else:
        label = "error" if view.weighting == "plain" else "norm-aware error"
        first, second = (errors[name] for name in names)
        ratio = _ratio(first, second)
        change = f"{ratio:.3g} times smaller" if ratio >= 1 else f"{1 / ratio:.3g} times larger"
        words = f"{label} {first:.4g} → {second:.4g} of the output's energy<br>{change}"
    kept = f"{site.kept:,} of {site.units:,} {_UNITS[site.kind]} kept"
    return f"<b>{site.name}</b>, {' to '.join(names)}<br>{words}<br>{kept}"
