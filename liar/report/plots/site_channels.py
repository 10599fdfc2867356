"""Moments of one site's channels: correlations, and their spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from liar.explore.atlas import SiteAtlas
from liar.report.plots.frame import FONT, KEPT, POWERS, SITE_HEIGHT, axis, drawing, positive, rounded, title
from liar.report.plots.site_units import bundle_mask


def site_correlations(chart: SiteAtlas, kept_units: Sequence[int]) -> go.Figure:
    """Correlations of a sample of the site's channels: the kept ones first, then the removed ones.

    If kept and removed channels correlate, the kept ones can replace the removed ones.
    """
    site = chart.site
    sample = chart.sample.astype(np.int64)
    stays = bundle_mask(site, kept_units)[sample // site.bundle_size]
    order = np.concatenate([np.flatnonzero(stays), np.flatnonzero(~stays)])
    channels = sample[order].tolist()
    kept, size = int(stays.sum()), len(channels)
    blocks = [("kept", 0, kept), ("removed", kept, size)]
    shown = [(name, (first + last - 1) / 2) for name, first, last in blocks if last > first]
    bare = {
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
    return drawing([cells], layout, drawn=SITE_HEIGHT + 44, bottom=84, left=36, right=8)


def site_spectrum(chart: SiteAtlas) -> go.Figure:
    """Eigenvalues of the correlation matrix by rank; a steep fall means that few directions carry all the channels."""
    values = chart.spectrum.astype(np.float64)
    line = {
        "type": "scatter",
        "x": np.linspace(1, chart.site.channels, len(values)).round().tolist(),
        "y": positive(rounded(values)),
        "mode": "lines",
        "line": {"color": KEPT, "width": 2},
        "hovertemplate": "eigenvalue %{y:.3g} at rank %{x:,}<extra></extra>",
    }
    condition = f"{chart.condition:.1e}".replace("e+0", "e").replace("e+", "e")
    words = f"condition {condition}" if np.isfinite(chart.condition) else "singular"
    layout: dict[str, Any] = {
        "xaxis": axis("rank, largest first"),
        "yaxis": axis("eigenvalue", type="log", tickformat=POWERS),
        "annotations": [title(f"<b>Spectrum</b>  {words}")],
    }
    return drawing([line], layout, drawn=SITE_HEIGHT, bottom=52, left=64, right=8)
