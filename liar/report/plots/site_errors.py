"""Error of one site over the ratio, a line for each reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from liar.choices import REPAIRS, Reconstruction
from liar.explore.atlas import RATIOS, SiteAtlas
from liar.report.plots.frame import (
    MOST_POINTS,
    POWERS,
    SITE_HEIGHT,
    axis,
    drawing,
    legend,
    line_mode,
    positive,
    rounded,
    scatter,
    title,
    vertical,
)
from liar.report.view import Reported, Scale
from liar.report.words.site_sentences import NO_ERROR, error_words, errors_of
from liar.results import SiteReport

_DECADES = 4
"""Length of a logarithmic error axis; smaller errors belong to ratios that remove almost nothing."""


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
            positive(curve, NO_ERROR) if scale == "log" else curve,
            line_mode(chart.site.bundles),
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
    return drawing(lines, layout, drawn=SITE_HEIGHT, bottom=96, left=64, right=8)


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
    if bundles > MOST_POINTS:
        curves = {name: rounded(chart.curve(criterion, name, weighting)[:-1]) for name in chart.reconstructions}
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
    return {"type": "log", "range": [float(bottom) - 0.1, float(top) + 0.2], "tickformat": POWERS}
