"""Units and channels of one site: scores with the cut, which units are kept, correlations and their spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from liar.explore.atlas import SiteAtlas
from liar.report.plots.frame import (
    BARE,
    FONT,
    KEPT,
    MOST_POINTS,
    POWERS,
    REMOVED,
    SITE_HEIGHT,
    axis,
    drawing,
    legend,
    positive,
    rounded,
    title,
    vertical,
)
from liar.sites import Site

_ODD = "#d55e00"
"""Colour of units removed in spite of their rank."""

_MOST = 400
"""Most points of a line; more cannot be distinguished in a figure of this size."""


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
    mode = "lines+markers" if site.bundles <= MOST_POINTS else "lines"
    parts = (
        ("kept", ranks[ranks < cut], KEPT, mode, "circle"),
        ("removed", ranks[ranks >= cut], REMOVED, mode, "circle"),
        ("kept all the same", _thinned(cut + np.flatnonzero(stays[cut:])), KEPT, "markers", "circle-open"),
        ("removed all the same", _thinned(np.flatnonzero(~stays[:cut])), _ODD, "markers", "x-thin-open"),
    )
    lines: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": (where + 1).tolist(),
            "y": rounded(scores[where]),
            "mode": how,
            "name": name,
            "line": {"color": colour, "width": 2},
            "marker": {"color": colour, "symbol": symbol, "size": 8 if how == "markers" else 5},
            "hovertemplate": f"{name}: rank %{{x:,}}, score %{{y:.3g}}<extra></extra>",
        }
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
    return drawing(lines, layout, drawn=SITE_HEIGHT, bottom=96, left=64, right=8)


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
    parts = (("kept", KEPT, stays), ("removed", REMOVED, ~stays))
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
    bare = {**BARE, "tickfont": FONT}
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
        "shapes": [vertical(end - 0.5) for end in range(site.group, site.units, site.group) if site.group > 1],
    }
    if rows == 1:
        layout["xaxis"] |= {"dtick": max(1, columns // 12), "tickangle": 0}
    return drawing(cells, layout, drawn=max(34, min(8 * rows, SITE_HEIGHT)), bottom=52, left=52, right=8)


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
    shown = [(name, (first + last - 1) / 2) for name, first, last in blocks if last > first]
    bare = {
        **BARE,
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
    grid = {
        "type": "heatmap",
        "z": np.round(chart.arrays.correlation[np.ix_(order, order)].astype(np.float64), 3).tolist(),
        "customdata": [[[first, second] for second in channels] for first in channels],
        "colorscale": [[0, "#d55e00"], [0.5, "#f2f2f2"], [1, "#0072b2"]],
        "zmin": -1,
        "zmax": 1,
        "colorbar": {
            "orientation": "h",
            "lenmode": "pixels",
            "len": SITE_HEIGHT,
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
        "xaxis": bare,
        "yaxis": {**bare, "constraintoward": "top", "autorange": "reversed", "scaleanchor": "x", "tickangle": -90},
        "shapes": [{**line, "line": {"color": "black", "width": 2}} for line in divider],
        "annotations": [title(f"<b>Correlation</b>  {size} of {site.channels:,} channels")],
    }
    return drawing([grid], layout, drawn=SITE_HEIGHT + 44, bottom=84, left=36, right=8)


def site_spectrum(chart: SiteAtlas) -> go.Figure:
    """Eigenvalues of the correlation matrix by rank; a steep fall means that few directions carry all the channels."""
    values = chart.arrays.spectrum.astype(np.float64)
    line = {
        "type": "scatter",
        "x": np.linspace(1, chart.site.channels, len(values)).round().tolist(),
        "y": positive(rounded(values)),
        "mode": "lines",
        "line": {"color": KEPT, "width": 2},
        "hovertemplate": "eigenvalue %{y:.3g} at rank %{x:,}<extra></extra>",
    }
    condition = f"{chart.arrays.condition:.1e}".replace("e+0", "e").replace("e+", "e")
    words = f"condition {condition}" if np.isfinite(chart.arrays.condition) else "singular"
    layout: dict[str, Any] = {
        "xaxis": axis("rank, largest first"),
        "yaxis": axis("eigenvalue", type="log", tickformat=POWERS),
        "annotations": [title(f"<b>Spectrum</b>  {words}")],
    }
    return drawing([line], layout, drawn=SITE_HEIGHT, bottom=52, left=64, right=8)


def _bundle_mask(site: Site, kept_units: Sequence[int]) -> NDArray[np.bool_]:
    """(bundles,) whether each bundle is kept."""
    mask = np.zeros(site.bundles, bool)
    mask[np.asarray(kept_units, np.int64) // site.group] = True
    return mask


def _thinned(ranks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    if len(ranks) <= _MOST:
        return ranks
    return ranks[np.unique(np.linspace(0, len(ranks) - 1, _MOST).round().astype(np.int64))]


def _units_title(site: Site, kept: int) -> str:
    words = (
        f'<span style="color:{KEPT}">■</span> {kept:,} kept  '
        f'<span style="color:{REMOVED}">■</span> {site.units - kept:,} removed'
    )
    shared = f"<br>{site.group} heads share keys and values and go together" if site.group > 1 else ""
    return f"<b>Units</b>  {words}{shared}"
