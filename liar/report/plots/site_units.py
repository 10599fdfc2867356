"""Units of one site: their scores with the cut, and which of them are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from liar.explore.atlas import SiteAtlas
from liar.report.plots.frame import (
    FONT,
    KEPT,
    MOST_POINTS,
    REMOVED,
    SITE_HEIGHT,
    axis,
    drawing,
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
    stays = bundle_mask(site, kept_units)[chart.order(criterion)]
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
    steep = scores.min() > 0 and scores.max() > 30 * scores.min()
    layout: dict[str, Any] = {
        "xaxis": axis(f"rank among {_units(site)}, best first"),
        "yaxis": axis(f"score ({criterion})", type="log" if steep else "linear"),
        "legend": {"orientation": "h", "y": -0.3, "yanchor": "top", "x": 0, "font": FONT},
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
        "shapes": [vertical(end - 0.5) for end in range(site.group, site.units, site.group) if site.group > 1],
    }
    if rows == 1:
        layout["xaxis"] |= {"dtick": max(1, columns // 12), "tickangle": 0}
    return drawing(cells, layout, drawn=max(34, min(8 * rows, SITE_HEIGHT)), bottom=52, left=52, right=8)


def bundle_mask(site: Site, kept_units: Sequence[int]) -> NDArray[np.bool_]:
    """(bundles,) whether each bundle is kept."""
    mask = np.zeros(site.bundles, bool)
    mask[np.asarray(kept_units, np.int64) // site.group] = True
    return mask


def _thinned(ranks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    if len(ranks) <= _MOST:
        return ranks
    return ranks[np.unique(np.linspace(0, len(ranks) - 1, _MOST).round().astype(np.int64))]


def _units(site: Site) -> str:
    if site.kind == "ffn":
        return "neurons"
    return f"groups of {site.group} heads" if site.group > 1 else "heads"


def _units_title(site: Site, kept: int) -> str:
    words = (
        f'<span style="color:{KEPT}">■</span> {kept:,} kept  '
        f'<span style="color:{REMOVED}">■</span> {site.units - kept:,} removed'
    )
    shared = f"<br>{site.group} heads share keys and values and go together" if site.group > 1 else ""
    return f"<b>Units</b>  {words}{shared}"
