"""Bars of the metrics of the variants and of their int8 copies."""

from __future__ import annotations

from textwrap import wrap

import plotly.graph_objects as go

from liar.report.plots.frame import STANDOFF, TOP, VARIANT_COLOURS, WHISKERS, axis, drawing, empty, title
from liar.report.words.metric_sentences import (
    capitalised,
    measurement,
    repair,
    value_words,
    variant_name,
    with_error,
)
from liar.results import QUANTIZED, VARIANTS, Evaluation, RunResult
from liar.statistics.compare import by_task
from liar.tasks.metrics import METRICS

_BAR, _LABELS = 34, 108
"""Height of a bar and width of the names beside it, in pixels."""

_QUANTIZED = 30
"""Additional width for the longer names of int8 copies, in pixels."""

_GAP = 34

_LINE, _WIDEST = 17, 52
"""Height of a line of a title in pixels, and its number of characters that fits a page 390 pixels wide."""


def metric_bars(result: RunResult) -> go.Figure:
    """Bars of every measured variant for every task, with one standard error to each side."""
    tasks = {task: list(items.values()) for task, items in by_task(result.evaluations).items()}
    if not tasks:
        return empty("No metric was measured. Name a task that fits the model, or data of your own.")
    titles = [_title(items[0], repair(result, task)) for task, items in tasks.items()]
    extra = _LINE * max(0, max(len(lines) for lines in titles) - 2)  # the frame has room for two lines
    gap = 3 * _GAP + extra  # room for a title below the ticks and title of the axis above
    variants = {item.variant for item in result.evaluations}
    labels = _LABELS + (_QUANTIZED if variants.intersection(QUANTIZED.values()) else 0)
    height = _BAR * max(len(VARIANTS), len(variants))
    drawn = len(tasks) * (height + gap) - gap
    data, annotations, axes = [], [], {}
    for row, items in enumerate(tasks.values()):
        number, metric = str(row + 1) if row else "", METRICS[items[0].metric]
        names = [variant_name(item.variant) for item in items]
        top = drawn - row * (height + gap)
        annotations.append(title("<br>".join(titles[row]), top / drawn) | {"xshift": -labels})
        data.append(
            {
                "type": "bar",
                "x": [item.value for item in items],
                "y": names,
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "orientation": "h",
                "width": 0.62,
                "marker": {"color": [VARIANT_COLOURS[item.variant] for item in items]},
                "error_x": {**WHISKERS, "array": [item.stderr for item in items]},
                "hovertext": [
                    f"<b>{name}</b><br>{metric.title} {with_error(item)} (one standard error)<br>n = {item.n:,}"
                    for name, item in zip(names, items, strict=True)
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "showlegend": False,
            }
        )
        annotations += [
            {
                "x": item.value + item.stderr,  # plotly's own bar labels would overlap the error bars
                "y": name,
                "xref": f"x{number}",
                "yref": f"y{number}",
                "text": f"<b>{value_words(item)}</b>",
                "xanchor": "left",
                "xshift": 8,
                "showarrow": False,
            }
            for name, item in zip(names, items, strict=True)
        ]
        reach = max(item.value + item.stderr for item in items)
        low = min(0.0, *(item.value - item.stderr for item in items))  # correlations may be negative
        axes[f"xaxis{number}"] = axis(
            metric.better,
            6,
            anchor=f"y{number}",
            range=[1.4 * low, max(reach, 0.0) * 1.4 or 1.0],
            tickformat=".0%" if metric.percent else None,
            nticks=6,
        )
        place = {"anchor": f"x{number}", "domain": [(top - height) / drawn, top / drawn]}
        axes[f"yaxis{number}"] = {"fixedrange": True, "autorange": "reversed", "showgrid": False, **STANDOFF, **place}
    layout = {**axes, "annotations": annotations}
    return drawing(data, layout, drawn=drawn, bottom=52, left=labels, right=4, top=TOP + extra)


def _title(item: Evaluation, repaired: str | None) -> list[str]:
    """Lines of a title that fit a narrow page: the measurement, then the recovery."""
    return [line for words in (measurement(item), repaired) if words for line in wrap(capitalised(words), _WIDEST)]
