"""Figures of many runs: the metric over the ratio, and against a cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import floor, log10
from typing import Any, Literal

import plotly.graph_objects as go

from liar.report.compare import differing
from liar.report.labels import choice
from liar.report.metrics import TASK_METRICS
from liar.report.plots.frame import (
    FONT,
    GRID,
    RECONSTRUCTION_COLOURS,
    RECONSTRUCTION_DASHES,
    VARIANT_COLOURS,
    empty,
    framed,
)
from liar.report.sentences import beside_dense, count, sample, stderr_words, value_words
from liar.results import Evaluation, Quartiles, RunResult, Variant
from liar.spec import PruneSpec, Reconstruction, Task
from liar.store import RunSummary

Run = RunResult | RunSummary
Cost = Literal["parameters", "bytes", "time"]

COSTS: Mapping[Cost, str] = {
    "parameters": "Parameters",
    "bytes": "Size of the weights",
    "time": "Time to read",
}
"""Titles of the costs that a metric can be drawn against."""

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}

_MOST_LINES = 8
_PALETTE = (  # colours of Okabe and Ito, and two darker ones
    ("#0072b2", "circle"),
    ("#d55e00", "diamond"),
    ("#009e73", "square"),
    ("#cc79a7", "triangle-up"),
    ("#e69f00", "cross"),
    ("#56b4e9", "star"),
    ("#7a5195", "pentagon"),
    ("#8c6d31", "triangle-down"),
)
_OTHERS = "#9aa1ad"
_SYMBOLS: Mapping[Reconstruction, str] = {
    "none": "x",
    "bias": "triangle-up",
    "liar": "diamond",
    "least-squares": "circle",
}

_DRAWN, _BOTTOM, _LEFT, _RIGHT = 340, 116, 62, 10


def tasks_of(runs: Iterable[Run]) -> list[Task]:
    """Tasks that any of ``runs`` measured on its reconstructed model."""
    return list(dict.fromkeys(item.task for run in runs for item in run.evaluations if item.variant == "reconstructed"))


def on_the_same_items(runs: Sequence[Run], task: Task, selected: str = "") -> list[Run]:
    """Runs with comparable values of ``task``: on the same items as the run with the key ``selected``, else as the
    first run, which is the newest. A perplexity depends on the length of its windows and on the separator.
    """
    measured = [(run, item) for run in runs if (item := _measured(run, task, "reconstructed"))]
    chosen = [_items(item) for run, item in measured if run.spec.key == selected] or [
        _items(item) for _, item in measured
    ]
    return [run for run, item in measured if _items(item) == chosen[0]]


def _items(item: Evaluation) -> tuple[object, ...]:
    """Digest of the items; for files of earlier versions, which lack it, their number, length, separator and source."""
    return (item.items.digest,) if item.items else (item.n, item.sequence_length, item.separator, item.source)


# -- the metric over ratio --------------------------------------------------------------------------------------------------


def ratio_figure(runs: Sequence[Run], task: Task, *, selected: str = "") -> go.Figure:
    """``task`` of the reconstructed model over the ratio: a line for each recipe, whiskers of one standard error.

    The dense model is a horizontal line; a single recipe also has a line of the pruned model without repair.
    ``customdata`` of a point is its run's key; the run with the key ``selected`` has a ring.
    """
    lines = _lines(runs, task)
    if not lines:
        return empty("No run has measured this yet.")
    figure = go.Figure()
    dense = _measured(lines[0].runs[0], task, "dense")
    if dense is not None:
        figure.add_trace(
            go.Scatter(
                x=[0, max(run.spec.ratio for line in lines for run in line.runs)],
                y=[dense.value, dense.value],
                mode="lines",
                line={"color": VARIANT_COLOURS["dense"], "width": 2},
                name=f"dense {value_words(dense)}",
                hovertemplate=f"dense: {_value_words(dense)}<extra></extra>",
            )
        )
    if len(lines) == 1:
        unrepaired = replace(lines[0], name="not repaired", colour=VARIANT_COLOURS["pruned"], dash="dot", symbol="x")
        figure.add_trace(_over_ratio(unrepaired, task, "pruned", ""))
    for line in lines:
        figure.add_trace(_over_ratio(line, task, "reconstructed", selected))
    figure.update_xaxes(
        title={"text": "share of the targeted units removed", "font": FONT, "standoff": 6}, tickformat=".0%"
    )
    _metric_axis(figure, runs, task)
    return _plot(figure)


def _over_ratio(line: _Line, task: Task, variant: Variant, selected: str) -> go.Scatter:
    found = [(run, item) for run in line.runs if (item := _measured(run, task, variant))]
    return _marks(
        line,
        [run for run, _ in found],
        [run.spec.ratio for run, _ in found],
        [item for _, item in found],
        [
            f"<b>{line.name}, {100 * run.spec.ratio:.0f} % removed</b><br>{_value_words(item)}{_beside_dense(run, item)}"
            f"<br>{count(run.totals.parameters_after)} parameters left"
            for run, item in found
        ],
        selected,
    )


# -- the metric against a cost ------------------------------------------------------------------------------------------------


def pareto_figure(runs: Sequence[Run], task: Task, cost: Cost = "parameters", *, selected: str = "") -> go.Figure:
    """``task`` against ``cost``: every run, the dense model, and their Pareto front.

    Runs whose cost is not known are left out. A time has whiskers from quartile to quartile. ``customdata`` and
    ``selected`` are as in :func:`ratio_figure`.
    """
    lines = [known for line in _lines(runs, task) if (known := _with_cost(line, cost)).runs]
    if not lines:
        return empty("No run has timed its models in turns yet." if cost == "time" else "No run has measured this yet.")
    figure = go.Figure()
    points: list[tuple[float, float]] = []
    first = lines[0].runs[0]
    dense, price = _measured(first, task, "dense"), _cost(first, "dense", cost)
    for line in lines:
        measured = [item for run in line.runs if (item := _measured(run, task, "reconstructed"))]
        prices = [paid for run in line.runs if (paid := _cost(run, "reconstructed", cost)) is not None]
        points += zip(prices, (item.value for item in measured), strict=True)
        words = [
            f"<b>{line.name}, {100 * run.spec.ratio:.0f} % removed</b><br>{_value_words(item)}{_beside_dense(run, item)}"
            f"<br>{_cost_words(paid, cost)}"
            for run, item, paid in zip(line.runs, measured, prices, strict=True)
        ]
        figure.add_trace(_marks(replace(line, dash=None), line.runs, prices, measured, words, selected))
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
                hovertext=[f"<b>dense</b><br>{_value_words(dense)}<br>{_cost_words(price, cost)}"],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    front = pareto_front(points, lower_is_better=TASK_METRICS[task].lower_is_better)
    figure.add_trace(
        go.Scatter(
            x=[points[index][0] for index in front],
            y=[points[index][1] for index in front],
            mode="lines",
            line={"color": _OTHERS, "width": 1.5, "dash": "dot", "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    )
    figure.data = (figure.data[-1], *figure.data[:-1])  # draw the front under the marks
    figure.update_xaxes(
        title={"text": _COST_AXES[cost], "font": FONT, "standoff": 6}, tickformat=".0%" if cost == "time" else "~s"
    )
    _metric_axis(figure, runs, task)
    return _plot(figure)


def pareto_front(points: Sequence[tuple[float, float]], *, lower_is_better: bool) -> list[int]:
    """Indices of the (cost, metric) pairs that no other pair beats or equals in both, cheapest first."""
    sign = 1 if lower_is_better else -1
    order = sorted(range(len(points)), key=lambda index: (points[index][0], sign * points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or sign * points[index][1] < sign * points[front[-1]][1]:
            front.append(index)
    return front


_COST_AXES: Mapping[Cost, str] = {
    "parameters": "parameters left",
    "bytes": "bytes of the weights",
    "time": "time to read, relative to the dense model",
}


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


def _with_cost(line: _Line, cost: Cost) -> _Line:
    return replace(line, runs=[run for run in line.runs if _cost(run, "reconstructed", cost) is not None])


# -- recipes as lines ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """Runs that differ in the ratio alone, lowest first; drawn as marks only if ``dash`` is None."""

    name: str
    runs: list[Run]
    colour: str
    dash: str | None
    symbol: str


def _lines(runs: Sequence[Run], task: Task) -> list[_Line]:
    """A line for each recipe; if there are too many, the recipes with the fewest runs share the last one."""
    recipes: dict[PruneSpec, dict[float, Run]] = {}
    for run in runs:
        if _measured(run, task, "reconstructed") is not None:
            recipe = run.spec.model_copy(update={"ratio": 0.0, "evaluate": ()})
            recipes.setdefault(recipe, {}).setdefault(run.spec.ratio, run)
    names = [name for name in differing(list(recipes)) if name not in ("ratio", "evaluate")]
    ranked = sorted(recipes, key=lambda recipe: -len(recipes[recipe]))
    drawn = [recipe for recipe in recipes if recipe in ranked[:_MOST_LINES]]
    lines: list[_Line] = []
    for place, recipe in enumerate(drawn):
        words = ", ".join(escape(choice(recipe, name)) for name in names) or recipe.reconstruction
        at = [recipes[recipe][ratio] for ratio in sorted(recipes[recipe])]
        lines.append(_Line(words, at, *_style(recipe, place, names)))
    if rest := [run for recipe in recipes if recipe not in drawn for run in recipes[recipe].values()]:
        lines.append(_Line("other recipes", sorted(rest, key=lambda run: run.spec.ratio), _OTHERS, None, "circle-open"))
    return lines


def _style(recipe: PruneSpec, place: int, names: Sequence[str]) -> tuple[str, str, str]:
    """Colour, dash and mark of a line; a line for a reconstruction has the same ones in every figure."""
    if list(names) == ["reconstruction"]:
        chosen = recipe.reconstruction
        return RECONSTRUCTION_COLOURS[chosen], RECONSTRUCTION_DASHES[chosen], _SYMBOLS[chosen]
    colour, symbol = _PALETTE[place]
    return colour, "solid", symbol


def _marks(
    line: _Line,
    runs: Sequence[Run],
    x: Sequence[float],
    items: Sequence[Evaluation],
    words: Sequence[str],
    selected: str,
) -> go.Scatter:
    keys = [run.spec.key for run in runs]
    return go.Scatter(
        x=list(x),
        y=[item.value for item in items],
        mode="lines+markers" if line.dash else "markers",
        line={"color": line.colour, "width": 2, "dash": line.dash or "solid"},
        marker={
            "color": line.colour,
            "symbol": line.symbol,
            "opacity": 1,  # marks of several sizes are translucent otherwise
            "size": [13 if key == selected else 8 for key in keys],
            "line": {"color": "#f59e0b", "width": [3 if key == selected else 0 for key in keys]},
        },
        error_y={  # another colour would hide the marks if the error is small
            "type": "data",
            "array": [item.stderr for item in items],
            "color": line.colour,
            "thickness": 1.2,
            "width": 4,
        },
        customdata=keys,
        hovertext=list(words),
        hovertemplate="%{hovertext}<extra></extra>",
        name=line.name,
    )


# -- axes ---------------------------------------------------------------------------------------------------------------------


def _plot(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(fixedrange=True, zeroline=False, gridcolor=GRID, nticks=7, automargin=True)
    figure.update_layout(
        hovermode="closest",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.22, "yanchor": "top", "font": FONT},
    )
    return framed(figure, drawn=_DRAWN, bottom=_BOTTOM, left=_LEFT, right=_RIGHT)


def _metric_axis(figure: go.Figure, runs: Sequence[Run], task: Task) -> None:
    """Set the y axis: accuracy in percent; perplexity on a log scale with round numbers if it spans a factor over 4."""
    metric = TASK_METRICS[task]
    axis: dict[str, Any] = {"title": {"text": f"{metric.title(task)}, {metric.better}", "font": FONT, "standoff": 8}}
    values = [value for trace in figure.data for value in trace.y]
    low, high = min(values), max(values)
    if metric.by_ratio and low > 0 and high > 4 * low:
        ticks = [
            digit * 10.0**power
            for power in range(floor(log10(low)), floor(log10(high)) + 1)
            for digit in ((1, 2, 5) if high < 1_000 * low else (1,))
        ]
        axis |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}
    elif metric.percent:
        axis["tickformat"] = ".1~%"
    figure.update_yaxes(fixedrange=True, zeroline=False, gridcolor=GRID, automargin=True, **axis)


def _measured(run: Run, task: Task, variant: Variant) -> Evaluation | None:
    return next((item for item in run.evaluations if item.task == task and item.variant == variant), None)


def _value_words(item: Evaluation) -> str:
    value, stderr = value_words(item), stderr_words(item)
    return f"{item.metric} {value} ± {stderr} (one standard error, n = {sample(item)})"


def _beside_dense(run: Run, item: Evaluation) -> str:
    """Additional line with the difference to the dense model, and its paired standard error if that is known."""
    words = beside_dense(run, item)
    return f"<br>{words}{'' if words.endswith('dense') else ' beside dense'}" if words else ""
