"""Figures of one site: its errors over the ratio, its units, and the moments of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from liar.explore.atlas import SiteAtlas
from liar.explore.curves import RATIOS
from liar.report.plots.frame import FONT, GRID, RECONSTRUCTION_COLOURS, RECONSTRUCTION_DASHES, drawing, title
from liar.report.site_sentences import NO_ERROR, error_words, errors_of
from liar.report.view import Reported, Scale
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS, Criterion, Reconstruction

_KEPT, _REMOVED, _ODD = "#0072b2", "rgba(128,128,128,.45)", "#d55e00"
"""Colours of kept units, of removed units, and of units removed in spite of their rank."""

_LINE = "rgba(128,128,128,.9)"
"""Colour of dividers and marks, visible on a light and on a dark background."""

_PLOT = 190
"""Height of a plot in pixels."""

_FEW = 50
"""Most bundles that are drawn as a point each."""

_MOST = 400
"""Most points of a line; more cannot be distinguished in a figure of this size."""

_POWERS = "~g"
"""Number format of a logarithmic axis; plotly would draw powers a quarter larger than the other numbers."""

_DECADES = 4
"""Length of a logarithmic error axis; smaller errors belong to ratios that remove almost nothing."""


def site_errors(
    chart: SiteAtlas,
    criterion: Criterion,
    predicted: SiteReport,
    reconstruction: Reconstruction,
    weighting: Reported = "plain",
    scale: Scale = "log",
    measured: SiteReport | None = None,
) -> go.Figure:
    """Predicted error over the ratio, a line for each reconstruction, with a mark at the ratio of ``predicted``.

    The errors of the run's report ``measured`` are diamonds at the ratio of that run.
    """
    site = chart.site
    ratios, curves = _curves(chart, criterion, weighting)
    lines: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": ratios,
            "y": _positive(curves[name], NO_ERROR) if scale == "log" else curves[name],
            "mode": "lines+markers" if site.bundles <= _FEW else "lines",
            "name": name,
            "marker": {"size": 5},
            "line": {
                "color": RECONSTRUCTION_COLOURS[name],
                "dash": RECONSTRUCTION_DASHES[name],
                "width": 3 if name == reconstruction else 1.6,
            },
            "hovertemplate": f"{name}: %{{y:.3g}} at %{{x:.0%}} removed<extra></extra>",
        }
        for name in RECONSTRUCTIONS
    ]
    if measured is not None:
        lines += [
            {
                "type": "scatter",
                "x": [1 - measured.kept / measured.units],
                "y": [error],
                "mode": "markers",
                "name": f"{name}, measured",
                "marker": {"size": 10, "symbol": "diamond-open", "color": RECONSTRUCTION_COLOURS[name]},
                "showlegend": False,
                "hovertemplate": f"{name}, measured: %{{y:.3g}} at %{{x:.0%}} removed<extra></extra>",
            }
            for name, error in errors_of(measured, weighting).items()
        ]
    chosen = 1 - predicted.kept / predicted.units
    value = error_words(errors_of(predicted, weighting).get(reconstruction))
    heading = "Error over the ratio" if weighting == "plain" else "Norm-aware error over the ratio"
    layout: dict[str, Any] = {
        "xaxis": _axis("share of the site's units removed", tickformat=".0%"),
        "yaxis": _axis("share of the output's energy", **_error_range(lines, scale)),
        "legend": {"orientation": "h", "y": -0.3, "yanchor": "top", "x": 0, "font": FONT},
        "shapes": [_vertical(chosen)],
        "annotations": [
            title(f"<b>{heading}</b>" + ("  ◇ measured" if measured else "")),
            {
                "text": f"{chosen:.0%}: <b>{value}</b>",
                "x": chosen,
                "y": 1,
                "yref": "paper",
                "yanchor": "top",
                "xanchor": "right" if chosen > 0.5 else "left",
                "showarrow": False,
                "font": FONT,
            },
        ],
    }
    return drawing(lines, layout, drawn=_PLOT, bottom=96, left=64, right=8)


def site_scores(chart: SiteAtlas, criterion: Criterion, kept_units: Sequence[int]) -> go.Figure:
    """Scores of the bundles, best first, with a line at the cut: the number of kept bundles.

    Bundles kept beyond the cut or removed before it are marked: they were chosen by hand, or the run measured other
    moments than the atlas.
    """
    site = chart.site
    scores = chart.scores(criterion).astype(np.float64)
    stays = _bundle_mask(site, kept_units)[chart.order(criterion)]
    cut = int(stays.sum())
    ranks = _thinned(np.arange(site.bundles))
    mode = "lines+markers" if site.bundles <= _FEW else "lines"
    parts = (
        ("kept", ranks[ranks < cut], _KEPT, mode, "circle"),
        ("removed", ranks[ranks >= cut], _REMOVED, mode, "circle"),
        ("kept all the same", _thinned(cut + np.flatnonzero(stays[cut:])), _KEPT, "markers", "circle-open"),
        ("removed all the same", _thinned(np.flatnonzero(~stays[:cut])), _ODD, "markers", "x-thin-open"),
    )
    lines: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": (where + 1).tolist(),
            "y": _short(scores[where]),
            "mode": how,
            "name": name,
            "line": {"color": colour, "width": 2},
            "marker": {"color": colour, "symbol": symbol, "size": 8 if how == "markers" else 5},
            "hovertemplate": f"{name}: rank %{{x:,}}, score %{{y:.3g}}<extra></extra>",
        }
        for name, where, colour, how, symbol in parts
        if len(where)
    ]
    steep = scores.min() > 0 and scores.max() > 30 * scores.min()
    layout: dict[str, Any] = {
        "xaxis": _axis(f"rank among {_units(site)}, best first"),
        "yaxis": _axis(f"score ({criterion})", type="log" if steep else "linear"),
        "legend": {"orientation": "h", "y": -0.3, "yanchor": "top", "x": 0, "font": FONT},
        "showlegend": True,
        "shapes": [_vertical(cut + 0.5)],
        "annotations": [title(f"<b>Scores and the cut</b>  {cut:,} of {site.bundles:,} kept")],
    }
    return drawing(lines, layout, drawn=_PLOT, bottom=96, left=64, right=8)


def site_units(site: Site, kept_units: Sequence[int]) -> go.Figure:
    """Grid of the units in their own order, row by row, kept or removed."""
    stays = np.zeros(site.units, bool)
    stays[list(kept_units)] = True
    columns = min(site.units, 64)
    while site.units > 64 * columns:  # limits the rows to those that the height of the figure can show
        columns *= 2
    rows = -(-site.units // columns)
    numbers = np.full(rows * columns, -1)
    numbers[: site.units] = np.arange(site.units)
    grid = numbers.reshape(rows, columns)
    unit = "neuron" if site.kind == "ffn" else "head"
    parts = (("kept", _KEPT, stays), ("removed", _REMOVED, ~stays))
    cells = [
        {
            "type": "heatmap",
            "z": [[1 if n >= 0 and chosen[n] else None for n in line] for line in grid.tolist()],
            "customdata": grid.tolist(),
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
    bare = {"showgrid": False, "zeroline": False, "fixedrange": True, "tickfont": FONT}
    layout: dict[str, Any] = {
        "xaxis": {**bare, "title": {"text": f"{unit}s, in their own order", "font": FONT, "standoff": 4}},
        "yaxis": {
            **bare,
            "autorange": "reversed",
            "visible": rows > 1,
            "tickvals": list(range(0, rows, 8)),
            "ticktext": [f"{row * columns:,}" for row in range(0, rows, 8)],
        },
        "annotations": [title(_units_title(site, int(stays.sum())))],
        "shapes": [_vertical(end - 0.5) for end in range(site.group, site.units, site.group) if site.group > 1],
    }
    if rows == 1:
        layout["xaxis"]["dtick"] = 1
    return drawing(cells, layout, drawn=max(34, min(8 * rows, _PLOT)), bottom=52, left=52, right=8)


def site_correlations(chart: SiteAtlas, kept_units: Sequence[int]) -> go.Figure:
    """Correlations of a sample of the site's channels: the kept ones first, then the removed ones.

    If kept and removed channels correlate, the kept ones can replace the removed ones.
    """
    site = chart.site
    sample = chart.sample.astype(np.int64)
    stays = _bundle_mask(site, kept_units)[sample // site.bundle_size]
    order = np.concatenate([np.flatnonzero(stays), np.flatnonzero(~stays)])
    channels = sample[order].tolist()
    kept, size = int(stays.sum()), len(channels)
    blocks = [("kept", 0, kept), ("removed", kept, size)]
    shown = [(name, (first + last - 1) / 2) for name, first, last in blocks if last > first]
    axis = {
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "constrain": "domain",
        "constraintoward": "left",  # the title is at the left
        "tickvals": [middle for _, middle in shown],
        "ticktext": [name for name, _ in shown],
        "tickfont": FONT,
    }
    divider = [
        {"type": "line", f"{along}0": kept - 0.5, f"{along}1": kept - 0.5, f"{across}0": -0.5, f"{across}1": size - 0.5}
        for along, across in ("xy", "yx")
        if 0 < kept < size
    ]
    cells = {
        "type": "heatmap",
        "z": np.round(chart.correlation[np.ix_(order, order)].astype(np.float64), 3).tolist(),
        "customdata": [[[first, second] for second in channels] for first in channels],
        "colorscale": [[0, "#d55e00"], [0.5, "#f2f2f2"], [1, "#0072b2"]],
        "zmin": -1,
        "zmax": 1,
        "colorbar": {
            "orientation": "h",
            "lenmode": "pixels",
            "len": _PLOT,
            "thickness": 10,
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "ypad": 30,
            "yanchor": "top",
            "outlinewidth": 0,
            "tickvals": [-1, 0, 1],
            "tickfont": FONT,
        },
        "hovertemplate": "channels %{customdata[0]} and %{customdata[1]}: correlation %{z:.2f}<extra></extra>",
    }
    layout: dict[str, Any] = {
        "xaxis": axis,
        "yaxis": {**axis, "constraintoward": "top", "autorange": "reversed", "scaleanchor": "x", "tickangle": -90},
        "shapes": [{**line, "line": {"color": "black", "width": 2}} for line in divider],
        "annotations": [title(f"<b>Correlation</b>  {size} of {site.channels:,} channels")],
    }
    return drawing([cells], layout, drawn=_PLOT + 44, bottom=84, left=36, right=8)


def site_spectrum(chart: SiteAtlas) -> go.Figure:
    """Eigenvalues of the covariance by rank; a steep fall means that few directions carry all the channels."""
    values = chart.spectrum.astype(np.float64)
    line = {
        "type": "scatter",
        "x": np.linspace(1, chart.site.channels, len(values)).round().tolist(),
        "y": _positive(_short(values)),
        "mode": "lines",
        "line": {"color": _KEPT, "width": 2},
        "hovertemplate": "eigenvalue %{y:.3g} at rank %{x:,}<extra></extra>",
    }
    condition = f"{chart.condition:.1e}".replace("e+0", "e").replace("e+", "e")
    words = f"condition {condition}" if np.isfinite(chart.condition) else "singular"
    layout: dict[str, Any] = {
        "xaxis": _axis("rank, largest first"),
        "yaxis": _axis("eigenvalue", type="log", tickformat=_POWERS),
        "annotations": [title(f"<b>Covariance spectrum</b>  {words}")],
    }
    return drawing([line], layout, drawn=_PLOT, bottom=52, left=64, right=8)


def _curves(
    chart: SiteAtlas, criterion: Criterion, weighting: Reported
) -> tuple[list[float], dict[Reconstruction, list[float]]]:
    """Ratios and their errors; only the possible ratios if there are few bundles. Removing all bundles is left out."""
    bundles = chart.site.bundles
    if bundles > _FEW:
        curves = {name: _short(chart.curve(criterion, name, weighting)[:-1]) for name in RECONSTRUCTIONS}
        return list(RATIOS[:-1]), curves
    counts = range(bundles, 0, -1)
    return [1 - kept / bundles for kept in counts], {
        name: [chart.error_at(criterion, name, kept, weighting) for kept in counts] for name in RECONSTRUCTIONS
    }


def _error_range(lines: Sequence[dict[str, Any]], scale: Scale) -> dict[str, Any]:
    values = [value for line in lines for value in line["y"] if value and value >= NO_ERROR]
    if scale == "linear" or not values:
        return {"rangemode": "tozero"}
    top = np.log10(max(values))
    bottom = max(np.log10(min(values)), top - _DECADES)
    return {"type": "log", "range": [float(bottom) - 0.1, float(top) + 0.2], "tickformat": _POWERS}


def _axis(words: str, **more: Any) -> dict[str, Any]:
    heading = {"text": words, "font": FONT, "standoff": 8}
    return {"title": heading, "gridcolor": GRID, "zeroline": False, "fixedrange": True, "tickfont": FONT, **more}


def _vertical(x: float) -> dict[str, Any]:
    line = {"color": _LINE, "width": 2, "dash": "dash"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _bundle_mask(site: Site, kept_units: Sequence[int]) -> NDArray[np.bool_]:
    """(bundles,) whether each bundle is kept."""
    mask = np.zeros(site.bundles, bool)
    mask[np.asarray(kept_units, np.int64) // site.group] = True
    return mask


def _thinned(ranks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    if len(ranks) <= _MOST:
        return ranks
    return ranks[np.unique(np.linspace(0, len(ranks) - 1, _MOST).round().astype(np.int64))]


def _short(values: NDArray[np.floating[Any]]) -> list[float]:
    """Round to four digits: enough for a figure, and a fifth of the text for the page to load."""
    return [float(f"{value:.4g}") for value in values]


def _positive(values: Sequence[float], least: float = 0.0) -> list[float | None]:
    """Replace values that a logarithmic axis cannot show by None."""
    return [value if value > least else None for value in values]


def _units(site: Site) -> str:
    if site.kind == "ffn":
        return "neurons"
    return f"groups of {site.group} heads" if site.group > 1 else "heads"


def _units_title(site: Site, kept: int) -> str:
    words = (
        f'<span style="color:{_KEPT}">■</span> {kept:,} kept  '
        f'<span style="color:{_REMOVED}">■</span> {site.units - kept:,} removed'
    )
    shared = f"<br>{site.group} heads share keys and values and go together" if site.group > 1 else ""
    return f"<b>Units</b>  {words}{shared}"
