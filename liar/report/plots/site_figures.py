"""Figures of one site: error over the ratio, scores with the cut, units kept, correlations of channels and their spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from liar.choices import REPAIRS, Reconstruction
from liar.explore.atlas import RATIOS, SiteAtlas
from liar.report.plots.frame import BARE, COLOUR_BAR, axis, drawing, legend, scatter, title, vertical
from liar.report.view import Reported, Scale
from liar.report.words.site_sentences import NO_ERROR, error_words, errors_of
from liar.results import SiteReport
from liar.sites import Site

_KEPT, _REMOVED = "#0072b2", "rgba(128,128,128,.45)"
"""Colours of kept and of removed units."""

_HEIGHT = 190
"""Height of a plot of one site in pixels."""

_MOST_MARKS = 50
"""Most bundles that are drawn as a point each."""

_POWERS = "~g"
"""Number format of a logarithmic axis; plotly would draw powers a quarter larger than the other numbers."""

_DECADES = 4
"""Length of a logarithmic error axis; smaller errors belong to ratios that remove almost nothing."""

_ODD = "#d55e00"
"""Colour of units removed in spite of their rank."""

_MOST = 400
"""Most points of a line; more cannot be distinguished in a figure of this size."""


def site_errors(
    chart: SiteAtlas,
    criterion: str,
    predicted: SiteReport,
    reconstruction: Reconstruction,
    weighting: Reported = "plain",
    scale: Scale = "log",
    measured: SiteReport | None = None,
) -> go.Figure:
    """Predicted error over the ratio, a line for each reconstruction, with a mark at the ratio of ``predicted``.

    The errors of the run's report ``measured`` are diamonds at the ratio of that run.
    """
    ratios, curves = _curves(chart, criterion, weighting)
    lines = [
        scatter(
            ratios,
            _positive(curve, NO_ERROR) if scale == "log" else curve,
            _mode(chart.site.bundles),
            f"{name}: %{{y:.3g}} at %{{x:.0%}} removed",
            name=name,
            marker={"size": 5},
            line={
                "color": REPAIRS[name].colour,
                "dash": REPAIRS[name].dash,
                "width": 3 if name == reconstruction else 1.6,
            },
        )
        for name, curve in curves.items()
    ]
    if measured is not None:
        found = errors_of(measured, weighting)
        lines += [_mark(measured, found[name], name, "diamond-open", f"{name}, measured") for name in found]
    chosen = 1 - predicted.kept / predicted.units
    error = errors_of(predicted, weighting).get(reconstruction)
    on_the_line = chart.error_at(criterion, reconstruction, predicted.kept // chart.site.group, weighting)
    by_hand = error is None or abs(error - on_the_line) > 0.01 * on_the_line + NO_ERROR
    if by_hand and error is not None:
        lines.append(_mark(predicted, error, reconstruction, "x", "units chosen by hand"))
    heading = "Error over the ratio" if weighting == "plain" else "Norm-aware error over the ratio"
    layout: dict[str, Any] = {
        "xaxis": axis("share of the site's units removed", tickformat=".0%"),
        "yaxis": axis("share of the output's energy", **_error_range(lines, scale)),
        "legend": legend(-0.3),
        "shapes": [vertical(chosen)],
        "annotations": [
            title(f"<b>{heading}</b>" + ("  ◇ measured" if measured else "")),
            {
                "text": f"{chosen:.0%}{', units chosen by hand' if by_hand else ''}: <b>{error_words(error)}</b>",
                "x": chosen,
                "y": 1,
                "yref": "paper",
                "yanchor": "top",
                "xanchor": "right" if chosen > 0.5 else "left",
                "showarrow": False,
            },
        ],
    }
    return drawing(lines, layout, drawn=_HEIGHT, bottom=96, left=64, right=8)


def _mark(site: SiteReport, error: float, reconstruction: Reconstruction, symbol: str, words: str) -> dict[str, Any]:
    """An error that is on no line, since those are of the units that the criterion keeps in the dense model."""
    marker = {"size": 10, "symbol": symbol, "color": REPAIRS[reconstruction].colour}
    hover = f"{words}: %{{y:.3g}} at %{{x:.0%}} removed"
    ratio = 1 - site.kept / site.units
    return scatter([ratio], [error], "markers", hover, name=words, marker=marker, showlegend=False)


def _curves(
    chart: SiteAtlas, criterion: str, weighting: Reported
) -> tuple[list[float], dict[Reconstruction, list[float]]]:
    """Ratios and their errors; only the possible ratios if there are few bundles. Removing all bundles is left out."""
    bundles = chart.site.bundles
    if bundles > _MOST_MARKS:
        curves = {name: _rounded(chart.curve(criterion, name, weighting)[:-1]) for name in chart.reconstructions}
        return list(RATIOS[:-1]), curves
    counts = range(bundles, 0, -1)
    return [1 - kept / bundles for kept in counts], {
        name: [chart.error_at(criterion, name, kept, weighting) for kept in counts] for name in chart.reconstructions
    }


def _error_range(lines: Sequence[dict[str, Any]], scale: Scale) -> dict[str, Any]:
    values = [value for line in lines for value in line["y"] if value and value >= NO_ERROR]
    if scale == "linear" or not values:
        return {"rangemode": "tozero"}
    top = np.log10(max(values))
    bottom = max(np.log10(min(values)), top - _DECADES)
    return {"type": "log", "range": [float(bottom) - 0.1, float(top) + 0.2], "tickformat": _POWERS}


def site_scores(chart: SiteAtlas, criterion: str, kept_units: Sequence[int]) -> go.Figure:
    """Scores of the bundles, best first, with a line at the cut: the number of kept bundles.

    Bundles kept beyond the cut or removed before it are marked: they were chosen by hand, or the run measured other
    moments than the atlas.
    """
    site = chart.site
    scores = chart.scores(criterion).astype(np.float64)
    stays = _bundle_mask(site, kept_units)[chart.order(criterion)]
    cut = int(stays.sum())
    ranks = _thinned(np.arange(site.bundles))
    parts = (
        ("kept", ranks[ranks < cut], _KEPT, _mode(site.bundles), "circle"),
        ("removed", ranks[ranks >= cut], _REMOVED, _mode(site.bundles), "circle"),
        ("kept all the same", _thinned(cut + np.flatnonzero(stays[cut:])), _KEPT, "markers", "circle-open"),
        ("removed all the same", _thinned(np.flatnonzero(~stays[:cut])), _ODD, "markers", "x-thin-open"),
    )
    lines = [
        scatter(
            (where + 1).tolist(),
            _rounded(scores[where]),
            how,
            f"{name}: rank %{{x:,}}, score %{{y:.3g}}",
            name=name,
            line={"color": colour, "width": 2},
            marker={"color": colour, "symbol": symbol, "size": 8 if how == "markers" else 5},
        )
        for name, where, colour, how, symbol in parts
        if len(where)
    ]
    ranked = "neurons" if site.kind == "ffn" else f"groups of {site.group} heads" if site.group > 1 else "heads"
    steep = scores.min() > 0 and scores.max() > 30 * scores.min()
    layout: dict[str, Any] = {
        "xaxis": axis(f"rank among {ranked}, best first"),
        "yaxis": axis(f"score ({criterion})", type="log" if steep else "linear"),
        "legend": legend(-0.3),
        "showlegend": True,
        "shapes": [vertical(cut + 0.5)],
        "annotations": [title(f"<b>Scores and the cut</b>  {cut:,} of {site.bundles:,} kept")],
    }
    return drawing(lines, layout, drawn=_HEIGHT, bottom=96, left=64, right=8)


def site_units(site: Site, kept_units: Sequence[int]) -> go.Figure:
    """Grid of the units in their own order, row by row, kept or removed."""
    stays = np.isin(np.arange(site.units), kept_units)
    columns = min(site.units, 64)
    while site.units > 64 * columns:  # limits the rows to those that the height of the figure can show
        columns *= 2
    rows = -(-site.units // columns)
    padding = (0, rows * columns - site.units)
    grid = np.pad(np.arange(site.units), padding, constant_values=-1).reshape(rows, columns).tolist()
    unit = "neuron" if site.kind == "ffn" else "head"
    parts = (("kept", _KEPT, stays), ("removed", _REMOVED, ~stays))
    cells = [
        {
            "type": "heatmap",
            "z": [[1 if n >= 0 and chosen[n] else None for n in line] for line in grid],
            "customdata": grid,
            "colorscale": [[0, colour], [1, colour]],
            "showscale": False,
            "hoverongaps": False,
            "hovertemplate": f"{unit} %{{customdata}}: {name}<extra></extra>",
            "name": name,
            "xgap": 1 if columns <= 64 else 0,
            "ygap": 1,
        }
        for name, colour, chosen in parts
    ]
    colours = "  ".join(
        f'<span style="color:{colour}">■</span> {int(chosen.sum()):,} {name}' for name, colour, chosen in parts
    )
    shared = f"<br>{site.group} heads share keys and values and go together" if site.group > 1 else ""
    layout: dict[str, Any] = {
        "xaxis": axis(f"{unit}s, in their own order", 4, showgrid=False),
        "yaxis": {
            **BARE,
            "autorange": "reversed",
            "visible": rows > 1,
            "tickvals": list(range(0, rows, 8)),
            "ticktext": [f"{row * columns:,}" for row in range(0, rows, 8)],
        },
        "annotations": [title(f"<b>Units</b>  {colours}{shared}")],
        "shapes": [vertical(end - 0.5) for end in range(site.group, site.units, site.group) if site.group > 1],
    }
    if rows == 1:
        layout["xaxis"] |= {"dtick": max(1, columns // 12), "tickangle": 0}
    return drawing(cells, layout, drawn=max(34, min(8 * rows, _HEIGHT)), bottom=52, left=52, right=8)


def site_correlations(chart: SiteAtlas, kept_units: Sequence[int]) -> go.Figure:
    """Correlations of a sample of the site's channels: the kept ones first, then the removed ones.

    If kept and removed channels correlate, the kept ones can replace the removed ones.
    """
    site = chart.site
    sample = chart.arrays.sample.astype(np.int64)
    stays = _bundle_mask(site, kept_units)[sample // site.bundle_size]
    order = np.concatenate([np.flatnonzero(stays), np.flatnonzero(~stays)])
    channels = sample[order].tolist()
    kept, size = int(stays.sum()), len(channels)
    blocks = [("kept", 0, kept), ("removed", kept, size)]
    middles = {name: (first + last - 1) / 2 for name, first, last in blocks if last > first}
    bare = {
        **BARE,
        "constrain": "domain",
        "constraintoward": "left",  # the title is at the left
        "tickvals": list(middles.values()),
        "ticktext": list(middles),
    }
    line = {"type": "line", "line": {"color": "black", "width": 2}}
    dividers = [
        {**line, f"{along}0": kept - 0.5, f"{along}1": kept - 0.5, f"{across}0": -0.5, f"{across}1": size - 0.5}
        for along, across in ("xy", "yx")
        if 0 < kept < size
    ]
    place = {"lenmode": "pixels", "len": _HEIGHT, "x": 0, "xanchor": "left", "y": 0, "ypad": 30}
    grid = {
        "type": "heatmap",
        "z": np.round(chart.arrays.correlation[np.ix_(order, order)].astype(np.float64), 3).tolist(),
        "customdata": [[[first, second] for second in channels] for first in channels],
        "colorscale": [[0, "#d55e00"], [0.5, "#f2f2f2"], [1, "#0072b2"]],
        "zmin": -1,
        "zmax": 1,
        "colorbar": {**COLOUR_BAR, **place, "tickvals": [-1, 0, 1]},
        "hovertemplate": "channels %{customdata[0]} and %{customdata[1]}: correlation %{z:.2f}<extra></extra>",
    }
    layout: dict[str, Any] = {
        "xaxis": bare,
        "yaxis": {**bare, "constraintoward": "top", "autorange": "reversed", "scaleanchor": "x", "tickangle": -90},
        "shapes": dividers,
        "annotations": [title(f"<b>Correlation</b>  {size} of {site.channels:,} channels")],
    }
    return drawing([grid], layout, drawn=_HEIGHT + 44, bottom=84, left=36, right=8)


def site_spectrum(chart: SiteAtlas) -> go.Figure:
    """Eigenvalues of the correlation matrix by rank; a steep fall means that few directions carry all the channels."""
    values = chart.arrays.spectrum.astype(np.float64)
    ranks = np.linspace(1, chart.site.channels, len(values)).round().tolist()
    hover, stroke = "eigenvalue %{y:.3g} at rank %{x:,}", {"color": _KEPT, "width": 2}
    line = scatter(ranks, _positive(_rounded(values)), "lines", hover, line=stroke)
    condition = f"{chart.arrays.condition:.1e}".replace("e+0", "e").replace("e+", "e")
    words = f"condition {condition}" if np.isfinite(chart.arrays.condition) else "singular"
    layout: dict[str, Any] = {
        "xaxis": axis("rank, largest first"),
        "yaxis": axis("eigenvalue", type="log", tickformat=_POWERS),
        "annotations": [title(f"<b>Spectrum</b>  {words}")],
    }
    return drawing([line], layout, drawn=_HEIGHT, bottom=52, left=64, right=8)


def _bundle_mask(site: Site, kept_units: Sequence[int]) -> NDArray[np.bool_]:
    """(bundles,) whether each bundle is kept."""
    return np.isin(np.arange(site.bundles), np.asarray(kept_units) // site.group)


def _thinned(ranks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    return ranks[np.linspace(0, len(ranks) - 1, min(len(ranks), _MOST)).round().astype(np.int64)]


def _mode(points: int) -> str:
    """Mode of a line on which each of a few points is a mark."""
    return "lines+markers" if points <= _MOST_MARKS else "lines"


def _rounded(values: NDArray[np.floating[Any]]) -> list[float]:
    """Round to four digits: enough for a figure, and a fifth of the text for the page to load."""
    return [float(f"{value:.4g}") for value in values]


def _positive(values: Sequence[float], least: float = 0.0) -> list[float | None]:
    """Replace values that a logarithmic axis cannot show by None."""
    return [value if value > least else None for value in values]
