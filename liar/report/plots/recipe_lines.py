"""Lines of a figure: runs, one line for each recipe, with common marks and axes; and what is predicted of every criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Any, Literal, NamedTuple

import plotly.graph_objects as go

from liar.choices import REPAIRS
from liar.explore.forecast import Loss
from liar.report.plots.frame import WHISKERS, axis, drawing, legend, scatter, vertical
from liar.report.words.metric_sentences import Run, beside_dense, evaluation_of, measured_words, metric_of
from liar.report.words.sentences import choice
from liar.report.words.site_sentences import error_words
from liar.results import Evaluation
from liar.spec import PruneSpec
from liar.statistics.compare import differing
from liar.tasks.metrics import Metric

Quantity = Literal["divergence", "error"]

QUANTITIES: Mapping[Quantity, str] = {
    "divergence": "divergence from the dense model",
    "error": "mean error of the sites",
}

PALETTE = (  # colours of Okabe and Ito, and two darker ones
    ("#0072b2", "circle"),
    ("#d55e00", "diamond"),
    ("#009e73", "square"),
    ("#cc79a7", "triangle-up"),
    ("#e69f00", "cross"),
    ("#56b4e9", "star"),
    ("#7a5195", "pentagon"),
    ("#8c6d31", "triangle-down"),
)
OTHERS = "#9aa1ad"


def tasks_of(runs: Iterable[Run]) -> list[str]:
    """Tasks that any of ``runs`` measured on its reconstructed model."""
    return list(dict.fromkeys(item.task for run in runs for item in run.evaluations if item.variant == "reconstructed"))


def on_the_same_items(runs: Sequence[Run], task: str, selected: str = "") -> list[Run]:
    """Runs with comparable values of ``task``: on the same items as the run with the key ``selected``, else as the
    first run, which is the newest. A perplexity depends on the length of its windows and on the separator.
    """
    measured = [(run, item) for run in runs if (item := evaluation_of(run, task, "reconstructed"))]
    chosen = [_items(item) for run, item in measured if run.spec.key == selected] or [
        _items(item) for _, item in measured
    ]
    return [run for run, item in measured if _items(item) == chosen[0]]


def _items(item: Evaluation) -> tuple[object, ...]:
    """Digest of the items; for files of earlier versions, which lack it, their number, length, separator and source."""
    return (item.items.digest,) if item.items else (item.n, item.sequence_length, item.separator, item.source)


@dataclass(frozen=True, slots=True)
class Line:
    """Runs that differ in the ratio alone, lowest first; drawn as marks only if ``dash`` is None."""

    name: str
    runs: list[Run]
    colour: str
    dash: str | None
    symbol: str


def lines_of(runs: Sequence[Run], task: str) -> list[Line]:
    """A line for each recipe; if there are too many, the recipes with the fewest runs share the last one."""
    recipes: dict[PruneSpec, dict[float, Run]] = {}
    for run in runs:
        if evaluation_of(run, task, "reconstructed") is not None:
            recipe = run.spec.model_copy(update={"ratio": 0.0, "evaluate": ()})
            recipes.setdefault(recipe, {}).setdefault(run.spec.ratio, run)
    names = differing(list(recipes))
    ranked = sorted(recipes, key=lambda recipe: -len(recipes[recipe]))
    drawn = [recipe for recipe in recipes if recipe in ranked[: len(PALETTE)]]
    lines: list[Line] = []
    for place, recipe in enumerate(drawn):
        words = ", ".join(escape(choice(recipe, name)) for name in names) or recipe.reconstruction
        at = [recipes[recipe][ratio] for ratio in sorted(recipes[recipe])]
        lines.append(Line(words, at, *_style(recipe, place, names)))
    if rest := [run for recipe in recipes if recipe not in drawn for run in recipes[recipe].values()]:
        lines.append(Line("other recipes", sorted(rest, key=lambda run: run.spec.ratio), OTHERS, None, "circle-open"))
    return lines


def _style(recipe: PruneSpec, place: int, names: Sequence[str]) -> tuple[str, str, str]:
    """Colour, dash and mark of a line; a line for a reconstruction has the same ones in every figure."""
    if list(names) == ["reconstruction"]:
        repair = REPAIRS[recipe.reconstruction]
        return repair.colour, repair.dash, repair.symbol
    colour, symbol = PALETTE[place]
    return colour, "solid", symbol


class Point(NamedTuple):
    """A run in a figure, what it measured, its place on the x axis, and the last line of its text on hover."""

    run: Run
    item: Evaluation
    x: float
    words: str


def marks(line: Line, points: Sequence[Point], selected: str, **more: Any) -> dict[str, Any]:
    """Marks of ``points`` with whiskers of one standard error; the run with the key ``selected`` has a ring."""
    keys = [point.run.spec.key for point in points]
    return scatter(
        [point.x for point in points],
        [point.item.value for point in points],
        "lines+markers" if line.dash else "markers",
        "%{hovertext}",
        line={"color": line.colour, "width": 2, "dash": line.dash or "solid"},
        marker={
            "color": line.colour,
            "symbol": line.symbol,
            "opacity": 1,  # marks of several sizes are translucent otherwise
            "size": [13 if key == selected else 8 for key in keys],
            "line": {"color": "#f59e0b", "width": [3 if key == selected else 0 for key in keys]},
        },
        # whiskers of another colour would hide the marks if the error is small
        error_y={**WHISKERS, "array": [point.item.stderr for point in points], "color": line.colour},
        customdata=keys,
        hovertext=[_words(line, point) for point in points],
        name=line.name,
        **more,
    )


def laid_out(data: list[dict[str, Any]], runs: Sequence[Run], task: str, x: str, tickformat: str) -> go.Figure:
    """Figure of the metric by which ``runs`` measured ``task``, with the title and number format of its x axis."""
    layout = {
        "xaxis": axis(x, 6, automargin=True, nticks=7, tickformat=tickformat),
        "yaxis": _metric_axis(data, task, metric_of(runs, task)),
        "hovermode": "closest",
        "showlegend": True,
        "legend": legend(-0.22),
    }
    return drawing(data, layout, drawn=340, bottom=116, left=62, right=10)


def _metric_axis(data: Sequence[dict[str, Any]], task: str, metric: Metric) -> dict[str, Any]:
    """Accuracy in percent; perplexity on a log scale with round numbers if it spans a factor over 4."""
    drawn = axis(f"{metric.title_of(task)}, {metric.better}", automargin=True)
    values = [value for trace in data for value in trace["y"]]
    low, high = min(values), max(values)
    if metric.by_ratio and low > 0 and high > 4 * low:
        ticks = [
            digit * 10.0**power
            for power in range(floor(log10(low)), floor(log10(high)) + 1)
            for digit in ((1, 2, 5) if high < 1_000 * low else (1,))
        ]
        drawn |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}
    elif metric.percent:
        drawn["tickformat"] = ".1~%"
    return drawn


def _words(line: Line, point: Point) -> str:
    """Recipe and ratio of a run, its metric, and the difference to the dense model with its paired standard error if known."""
    heading = f"<b>{line.name}, {100 * point.run.spec.ratio:.0f} % removed</b>"
    change = beside_dense(point.run, point.item)
    beside = f"<br>{change}{'' if change.endswith('dense') else ' beside dense'}" if change else ""
    return f"{heading}<br>{measured_words(point.item)}{beside}<br>{point.words}"


def values_of(losses: Mapping[float, Loss], quantity: Quantity) -> dict[float, float]:
    """The known values of a quantity by ratio."""
    return {ratio: value for ratio, loss in losses.items() if (value := getattr(loss, quantity)) is not None}


def every_criterion_figure(
    found: Mapping[str, Mapping[float, Loss]], quantity: Quantity, criterion: str, ratio: float
) -> go.Figure:
    """A line for each criterion, that of the recipe thicker, and a vertical line at the recipe's ratio."""
    lines: list[dict[str, Any]] = []
    for name, (colour, symbol) in zip(found, PALETTE, strict=False):
        values, chosen = values_of(found[name], quantity), name == criterion
        lines.append(
            scatter(
                list(values),
                list(values.values()),
                "lines+markers",
                f"{name} at %{{x:.0%}}: %{{customdata}}",
                name=f"<b>{name}</b>" if chosen else name,
                line={"color": colour, "width": 4 if chosen else 1.6},
                marker={"color": colour, "symbol": symbol, "size": 6},
                customdata=[error_words(value) for value in values.values()],
            )
        )
    layout: dict[str, Any] = {
        "xaxis": axis("share of the targeted units removed", tickformat=".0%"),
        "yaxis": axis(f"{QUANTITIES[quantity]}, predicted", type="log"),
        "legend": legend(-0.2),
        "showlegend": True,
        "shapes": [vertical(ratio)],
    }
    return drawing(lines, layout, drawn=300, bottom=120, left=62, right=10)
