"""What is predicted of every criterion, over the ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import plotly.graph_objects as go

from liar.explore.forecast import Loss
from liar.report.plots.frame import axis, drawing, legend, vertical
from liar.report.plots.recipe_lines import PALETTE
from liar.report.words.site_sentences import error_words

Quantity = Literal["divergence", "error"]

QUANTITIES: Mapping[Quantity, str] = {"divergence": "divergence in nats", "error": "mean error of the sites"}


def values_of(losses: Mapping[float, Loss], quantity: Quantity) -> dict[float, float]:
    """The known values of a quantity by ratio."""
    values = {ratio: loss.divergence if quantity == "divergence" else loss.error for ratio, loss in losses.items()}
    return {ratio: value for ratio, value in values.items() if value is not None}


def every_criterion_figure(
    found: Mapping[str, Mapping[float, Loss]], quantity: Quantity, criterion: str, ratio: float
) -> go.Figure:
    """A line for each criterion, that of the recipe thicker, and a vertical line at the recipe's ratio."""
    lines: list[dict[str, Any]] = []
    for name, (colour, symbol) in zip(found, PALETTE, strict=False):
        values, chosen = values_of(found[name], quantity), name == criterion
        lines.append(
            {
                "type": "scatter",
                "x": list(values),
                "y": list(values.values()),
                "mode": "lines+markers",
                "name": f"<b>{name}</b>" if chosen else name,
                "line": {"color": colour, "width": 4 if chosen else 1.6},
                "marker": {"color": colour, "symbol": symbol, "size": 6},
                "customdata": [error_words(value) for value in values.values()],
                "hovertemplate": f"{name} at %{{x:.0%}}: %{{customdata}}<extra></extra>",
            }
        )
    layout: dict[str, Any] = {
        "xaxis": axis("share of the targeted units removed", tickformat=".0%"),
        "yaxis": axis(f"{QUANTITIES[quantity]}, predicted", type="log"),
        "legend": legend(-0.2),
        "showlegend": True,
        "shapes": [vertical(ratio)],
    }
    return drawing(lines, layout, drawn=300, bottom=120, left=62, right=10)
