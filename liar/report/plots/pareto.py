"""The metric of many runs against a cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import plotly.graph_objects as go

from liar.report.plots.frame import FONT, VARIANT_COLOURS, empty
from liar.report.plots.recipe_lines import (
    OTHERS,
    Line,
    Run,
    evaluation_of,
    laid_out,
    lines_of,
    marks,
    measured_words,
    metric_axis,
    metric_of,
    run_words,
)
from liar.report.words.sentences import count
from liar.results import Quartiles, Variant

Cost = Literal["parameters", "bytes", "time"]

COSTS: Mapping[Cost, str] = {
    "parameters": "Parameters",
    "bytes": "Size of the weights",
    "time": "Time to read",
}
"""Titles of the costs that a metric can be drawn against."""

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}

_COST_AXES: Mapping[Cost, str] = {
    "parameters": "parameters left",
    "bytes": "bytes of the weights",
    "time": "time to read, relative to the dense model",
}


def pareto_figure(runs: Sequence[Run], task: str, cost: Cost = "parameters", *, selected: str = "") -> go.Figure:
    """``task`` against ``cost``: every run, the dense model, and their Pareto front.

    Runs whose cost is not known are left out. A time has whiskers from quartile to quartile. ``customdata`` and
    ``selected`` are as in :func:`ratio_figure`.
    """
    lines = [known for line in lines_of(runs, task) if (known := _with_cost(line, cost)).runs]
    if not lines:
        return empty("No run has timed its models in turns yet." if cost == "time" else "No run has measured this yet.")
    figure = go.Figure()
    points: list[tuple[float, float]] = []
    first = lines[0].runs[0]
    dense, price = evaluation_of(first, task, "dense"), _cost(first, "dense", cost)
    for line in lines:
        measured = [item for run in line.runs if (item := evaluation_of(run, task, "reconstructed"))]
        prices = [paid for run in line.runs if (paid := _cost(run, "reconstructed", cost)) is not None]
        points += zip(prices, (item.value for item in measured), strict=True)
        words = [
            f"{run_words(line, run, item)}<br>{_cost_words(paid, cost)}"
            for run, item, paid in zip(line.runs, measured, prices, strict=True)
        ]
        figure.add_trace(marks(replace(line, dash=None), line.runs, prices, measured, words, selected))
        if cost == "time":
            figure.data[-1].error_x = _spread(line.runs)
    if dense is not None and price is not None:
        points.append((price, dense.value))
        figure.add_trace(
            go.Scatter(
                x=[price],
                y=[dense.value],
                mode="markers",
                marker={"color": VARIANT_COLOURS["dense"], "size": 12, "symbol": "star"},
                name="dense",
                hovertext=[f"<b>dense</b><br>{measured_words(dense)}<br>{_cost_words(price, cost)}"],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    front = pareto_front(points, lower_is_better=metric_of(runs, task).lower_is_better)
    figure.add_trace(
        go.Scatter(
            x=[points[index][0] for index in front],
            y=[points[index][1] for index in front],
            mode="lines",
            line={"color": OTHERS, "width": 1.5, "dash": "dot", "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    )
    figure.data = (figure.data[-1], *figure.data[:-1])  # draw the front under the marks
    figure.update_xaxes(
        title={"text": _COST_AXES[cost], "font": FONT, "standoff": 6}, tickformat=".0%" if cost == "time" else "~s"
    )
    metric_axis(figure, task, metric_of(runs, task))
    return laid_out(figure)


def pareto_front(points: Sequence[tuple[float, float]], *, lower_is_better: bool) -> list[int]:
    """Indices of the (cost, metric) pairs that no other pair beats or equals in both, cheapest first."""
    sign = 1 if lower_is_better else -1
    order = sorted(range(len(points)), key=lambda index: (points[index][0], sign * points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or sign * points[index][1] < sign * points[front[-1]][1]:
            front.append(index)
    return front


def _gain(run: Run) -> Quartiles | None:
    """Speed of the reconstructed model relative to the dense one; None if they were not timed in turns."""
    return next((item.gain for item in run.gains if (item.than, item.variant) == ("dense", "reconstructed")), None)


def _spread(runs: Sequence[Run]) -> dict[str, Any]:
    """Whiskers from quartile to quartile of the times that :func:`_cost` returns."""
    gains = [gain for run in runs if (gain := _gain(run))]
    return {
        "type": "data",
        "symmetric": False,
        "array": [1 / gain.lower - 1 / gain.median for gain in gains],
        "arrayminus": [1 / gain.median - 1 / gain.upper for gain in gains],
        "thickness": 1.2,
        "width": 4,
    }


def _cost(run: Run, variant: Variant, cost: Cost) -> float | None:
    """Cost of a variant in the unit of the axis; None if the run lacks it.

    A time is relative to that of the dense model, since seconds of runs made at different times cannot be compared.
    """
    if cost == "time":
        gain = _gain(run)
        if gain is None:
            return None
        return 1.0 if variant == "dense" else 1 / gain.median
    parameters = run.totals.parameters_before if variant == "dense" else run.totals.parameters_after
    if cost == "parameters":
        return parameters
    size = _BYTES.get(run.environment.get("dtype", ""))
    return None if size is None else parameters * size


def _cost_words(paid: float, cost: Cost) -> str:
    if cost == "time":
        return f"{100 * paid:.0f} % of the time of the dense model"
    return f"{count(round(paid))} parameters" if cost == "parameters" else f"{paid / 1e6:,.1f} MB of weights"


def _with_cost(line: Line, cost: Cost) -> Line:
    return replace(line, runs=[run for run in line.runs if _cost(run, "reconstructed", cost) is not None])
