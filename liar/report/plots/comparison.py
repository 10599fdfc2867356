"""Heatmap that compares two runs site by site."""

from __future__ import annotations

from math import log10

import plotly.graph_objects as go

from liar.report.plots.frame import DIVERGING, FONT, SMALLEST_ERROR, STANDOFF, empty, framed
from liar.spec import SiteKind
from liar.statistics.compare import RunComparison, SiteDifference

_WIDEST_RATIO = 100.0


def comparison_heatmap(comparison: RunComparison) -> go.Figure:
    """Layer x site: error of run A over that of run B, each with its reconstruction, on a log scale; blue: B is better.

    ``customdata`` of a cell holds its text and the name of its site.
    """
    sites = comparison.sites
    if not sites:
        return empty("The two runs have no site in common.")
    kinds: list[SiteKind] = [kind for kind in ("ffn", "attention") if any(site.kind == kind for site in sites)]
    layers = sorted({site.layer for site in sites})
    at = {(site.layer, site.kind): site for site in sites}
    grid = [[at.get((layer, kind)) for layer in layers] for kind in kinds]
    widest = log10(min(max([1.1, *(max(_ratio(site), 1 / _ratio(site)) for site in sites)]), _WIDEST_RATIO))
    ticks = [part * widest for part in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    drawn = 44 * len(kinds)
    figure = go.Figure(
        go.Heatmap(
            x=layers,
            y=["FFN" if kind == "ffn" else "attention" for kind in kinds],
            z=[[log10(_ratio(site)) if site else None for site in line] for line in grid],
            customdata=[[[_site_words(site), site.name] if site else ["", ""] for site in line] for line in grid],
            hovertemplate="%{customdata[0]}<extra></extra>",
            hoverongaps=False,
            colorscale=DIVERGING,
            zmin=-widest,
            zmax=widest,
            xgap=1,
            ygap=1,
            colorbar={
                "orientation": "h",
                "title": {"text": "error of A ÷ error of B (log scale)", "side": "top", "font": FONT},
                "tickvals": ticks,
                "ticktext": [f"{10**tick:.2g}" for tick in ticks],
                "tickangle": 0,
                "thickness": 10,
                "outlinewidth": 0,
                "y": -62 / drawn,
                "yanchor": "top",
                "ypad": 0,
            },
        )
    )
    figure.update_xaxes(
        fixedrange=True, showgrid=False, zeroline=False, title={"text": "layer", "standoff": 4, "font": FONT}
    )
    figure.update_yaxes(fixedrange=True, showgrid=False, zeroline=False, automargin=True, **STANDOFF)
    return framed(figure, drawn=drawn, bottom=114, left=8, right=8)


def _ratio(site: SiteDifference) -> float:
    return max(site.a, SMALLEST_ERROR) / max(site.b, SMALLEST_ERROR)


def _site_words(site: SiteDifference) -> str:
    unit = "neurons" if site.kind == "ffn" else "query heads"
    return (
        f"<b>{site.name}</b><br>error A {site.a:.4g}, B {site.b:.4g} of the output's energy"
        f"<br>kept A {site.kept_a:,}, B {site.kept_b:,} of {site.units:,} {unit}"
    )
