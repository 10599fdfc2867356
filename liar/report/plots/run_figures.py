"""The metric of many runs: over the ratio, and against a cost with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import plotly.graph_objects as go

from liar.report.plots.frame import VARIANT_COLOURS, WHISKERS, empty, scatter
from liar.report.plots.recipe_lines import OTHERS, Line, Point, laid_out, lines_of, marks
from liar.report.words.metric_sentences import Run, count, evaluation_of, measured_words, metric_of, value_words
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


def ratio_figure(runs: Sequence[Run], task: str, *, selected: str = "") -> go.Figure:
    """``task`` of the reconstructed model over the ratio: a line for each recipe, whiskers of one standard error.

    The dense model is a horizontal line; a single recipe also has a line of the pruned model without repair.
    ``customdata`` of a point is its run's key; the run with the key ``selected`` has a ring.
    """
    lines = lines_of(runs, task)
    if not lines:
        return empty("No run has measured this yet.")
    data: list[dict[str, Any]] = []
    dense = evaluation_of(lines[0].runs[0], task, "dense")
    if dense is not None:
        name, words = f"dense {value_words(dense)}", f"dense: {measured_words(dense)}"
        ends = [0, max(run.spec.ratio for line in lines for run in line.runs)]
        stroke = {"color": VARIANT_COLOURS["dense"], "width": 2}
        data.append(scatter(ends, [dense.value, dense.value], "lines", words, line=stroke, name=name))
    if len(lines) == 1:
        unrepaired = replace(lines[0], name="not repaired", colour=VARIANT_COLOURS["pruned"], dash="dot", symbol="x")
        data.append(marks(unrepaired, _over_ratio(unrepaired, task, "pruned"), ""))
    data += [marks(line, _over_ratio(line, task, "reconstructed"), selected) for line in lines]
    return laid_out(data, runs, task, "share of the targeted units removed", ".0%")


def _over_ratio(line: Line, task: str, variant: Variant) -> list[Point]:
    return [
        Point(run, item, run.spec.ratio, f"{count(run.totals.parameters_after)} parameters left")
        for run in line.runs
        if (item := evaluation_of(run, task, variant))
    ]


def pareto_figure(runs: Sequence[Run], task: str, cost: Cost = "parameters", *, selected: str = "") -> go.Figure:
    """``task`` against ``cost``: every run, the dense model, and their Pareto front.

    Runs whose cost is not known are left out. A time has whiskers from quartile to quartile. ``customdata`` and
    ``selected`` are as in :func:`ratio_figure`.
    """
    lines = [(line, points) for line in lines_of(runs, task) if (points := _priced(line, task, cost))]
    if not lines:
        return empty("No run has timed its models in turns yet." if cost == "time" else "No run has measured this yet.")
    data = [marks(replace(line, dash=None), points, selected, **_spread(points, cost)) for line, points in lines]
    measured = [(point.x, point.item.value) for _, points in lines for point in points]
    first = lines[0][1][0].run
    dense, price = evaluation_of(first, task, "dense"), _cost(first, "dense", cost)
    if dense is not None and price is not None:
        measured.append((price, dense.value))
        star = {"color": VARIANT_COLOURS["dense"], "size": 12, "symbol": "star"}
        words = f"<b>dense</b><br>{measured_words(dense)}<br>{_cost_words(price, cost)}"
        point = scatter([price], [dense.value], "markers", "%{hovertext}", hovertext=[words], marker=star, name="dense")
        data.append(point)
    front = pareto_front(measured, lower_is_better=metric_of(runs, task).lower_is_better)
    under = {
        "type": "scatter",
        "x": [price for price, _ in front],
        "y": [value for _, value in front],
        "mode": "lines",
        "line": {"color": OTHERS, "width": 1.5, "dash": "dot", "shape": "hv"},
        "name": "Pareto front",
        "hoverinfo": "skip",
    }
    return laid_out([under, *data], runs, task, _COST_AXES[cost], ".0%" if cost == "time" else "~s")


def pareto_front(points: Iterable[tuple[float, float]], *, lower_is_better: bool) -> list[tuple[float, float]]:
    """The (cost, metric) pairs that no other pair beats or equals in both, cheapest first."""
    sign = 1 if lower_is_better else -1
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], sign * point[1])):
        if not front or sign * value < sign * front[-1][1]:
            front.append((cost, value))
    return front


def _priced(line: Line, task: str, cost: Cost) -> list[Point]:
    return [
        Point(run, item, paid, _cost_words(paid, cost))
        for run in line.runs
        if (item := evaluation_of(run, task, "reconstructed"))
        and (paid := _cost(run, "reconstructed", cost)) is not None
    ]


def _gain(run: Run) -> Quartiles | None:
    """Speed of the reconstructed model relative to the dense one; None if they were not timed in turns."""
    return next((item.gain for item in run.gains if (item.than, item.variant) == ("dense", "reconstructed")), None)


def _spread(points: Sequence[Point], cost: Cost) -> dict[str, Any]:
    """Whiskers from quartile to quartile of the times that :func:`_cost` returns; none of another cost."""
    if cost != "time":
        return {}
    gains = [gain for point in points if (gain := _gain(point.run))]
    more = [1 / gain.lower - 1 / gain.median for gain in gains]
    less = [1 / gain.median - 1 / gain.upper for gain in gains]
    return {"error_x": {**WHISKERS, "symmetric": False, "array": more, "arrayminus": less}}


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
