"""Before and after in the simple layout: a bar for each model and task, with its number and the change beside.

The bars follow the slider: measured ones are solid, with whiskers; between two runs of the recipe they are interpolated and
hatched; others are faded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import gradio as gr
from gradio.blocks import Block

from components.rail.glossary import word
from components.shared.browser import KEEP_HEIGHT
from components.shared.lookup import Known
from components.shared.markup import Markup, cell, element, row, table
from components.shared.panel import NO_RUN, Updates
from liar.report.headline import in_all_words
from liar.report.interpolation import ends_in_words, interpolated, neighbours
from liar.report.words.answer_sentences import changes_in_numbers
from liar.report.words.metric_sentences import Run, beside_dense, capitalised, percent, variant_name, with_error
from liar.report.words.sentences import duration, recipe, unbroken
from liar.results import VARIANTS, Evaluation, MeasuredVariant, RunResult, Variant
from liar.spec import PruneSpec
from liar.statistics.compare import by_task, difference, differing
from liar.tasks.metrics import METRICS

UNKNOWN = "not measured yet"

_OF_MEASURES = {"model", "evaluate", "evaluate_limit", "evaluate_length", "separator", "data", "device", "dtype"}
"""Choices that decide the figures of the dense model."""


PLAIN_VARIANTS: Mapping[MeasuredVariant, str] = {"dense": "Whole", "pruned": "Cut", "reconstructed": "Repaired"}
"""What the models are called in the simple layout."""


class _Bar(NamedTuple):
    """A row of the table: ``value`` is None if it is not known, ``stderr`` if it was not measured."""

    variant: MeasuredVariant
    value: float | None = None
    stderr: float | None = None
    words: str = ""
    beside: str = UNKNOWN


class BeforeAfterPanel:
    """The main metric of the first task as three bars; every figure and the recipe are behind "Recipe and texts"."""

    def __init__(self, result: RunResult | None) -> None:
        with gr.Column(elem_id="before-after-card", elem_classes=["card", "simple-only"]):
            bars = _measured(result) if result else f"<p>{NO_RUN}</p>"
            self.bars = gr.HTML(bars, js_on_load=KEEP_HEIGHT, elem_id="before-after")
        self.outputs: list[Block] = [self.bars]

    def show(self, known: Known, run: RunResult | None) -> Updates:
        """Bars of the current recipe. ``run`` is the one in the other panels, None if there is none."""
        return {self.bars: _measured(known.run) if known.run is not None else _unmeasured(known, run)}


def _measured(result: RunResult) -> str:
    if not result.evaluations:
        return "<p>No task was measured in this run, so there is nothing to compare.</p>"
    shown, tasks = "", []
    for task, items in _items(result):
        bars = [_bar(result, item) for item in items]
        shown = shown or _simple(items[0], bars)
        changed = changes_in_numbers(result, task)
        parts = [_figures(items[0], bars), *([element("p", changed)] if changed else []), *_differences(items)]
        tasks.append(element("div", *parts))
    return _card(result.spec, shown, [*in_all_words(result), "Whiskers are one standard error."], tasks)


def _unmeasured(known: Known, run: RunResult | None) -> str:
    """Bars of a recipe without a run: those of the dense model and of the scale are of the nearest run of the recipe, else of
    ``run`` if its dense model was measured alike.
    """
    near: list[Run] = [*neighbours(known.spec.ratio, known.measured)]
    if run is not None and not _OF_MEASURES & set(differing([run.spec, known.spec])):
        near.insert(0, run)
    found = {variant: interpolated(known.spec, known.measured, variant) for variant in VARIANTS[1:]}
    is_between, running = any(found.values()), known.pruned.evaluations if known.pruned else []
    source = running or (near[-1].evaluations if near else [])
    if not source:
        return f"<p>{NO_RUN}</p>"
    shown, tasks = "", []
    for task, items in by_task(source).items():
        first = next(iter(items.values()))
        own = {name: item for name, item in items.items() if running or name == "dense"}
        bars = [
            _Bar(name, own[name].value, own[name].stderr, with_error(own[name]), "")
            if name in own
            else _between(first, name, found.get(name, {}).get(task))
            for name in VARIANTS
        ]
        scale = () if is_between or running else [items[name] for name in VARIANTS if name in items]
        shown = shown or _simple(first, bars, scale)
        tasks.append(element("div", _figures(first, bars, scale)))
    between = f"Hatched: between {ends_in_words(known.spec, known.measured)}."
    seconds = "" if known.seconds is None else f" Measuring takes {duration(known.seconds)}."
    words = (
        "Measuring: one bar after the other."
        if running
        else (between if is_between else f"Faded: {UNKNOWN}.") + seconds
    )
    return _card(known.spec, shown, [recipe(known.spec)], tasks, note=words)


def _card(spec: PruneSpec, shown: str, words: Sequence[str], tasks: list[Markup], note: str = "") -> str:
    """The bars, a ``note`` on what they are, and the disclosure with all else."""
    keys = f'data-recipe="{spec.key}" data-model="{escape(spec.model)}"'
    noted = f'<p class="note" {keys}>{escape(unbroken(note))}</p>'
    said = "".join(f"<p>{escape(unbroken(each))}</p>" for each in words)
    more = f"<details class='more'><summary>Recipe and texts</summary>{said}<div>{''.join(tasks)}</div></details>"
    return f"{shown}{noted}{more}"


def _simple(item: Evaluation, bars: Sequence[_Bar], scale: Sequence[Evaluation] = ()) -> Markup:
    """Three rows: the name of the model in plain words, its value and the bar."""
    metric = METRICS[item.metric]
    reach = 1.0 if metric.percent else _reach(bars, scale)
    rows = [
        row(
            PLAIN_VARIANTS[bar.variant],
            cell("?" if bar.value is None else metric.words(bar.value)),
            cell(_track(reach if bar.value is None else bar.value, None, reach), class_="bar"),
            class_=f"{bar.variant} {_state(bar)}",
        )
        for bar in bars
        if bar.variant in PLAIN_VARIANTS
    ]
    figures = table(("Model", "Value", ""), rows, label=capitalised(metric.title_of(item.task)))
    named = word(metric.name, capitalised(metric.title), metric.meaning)
    better = "less is better" if metric.lower_is_better else "more is better"
    return Markup(f'<div class="simple">{figures}<div class="metric">{named}: {better}</div></div>')


def _items(result: Run) -> Iterator[tuple[str, list[Evaluation]]]:
    """What was measured of the three variants on each task."""
    for task, items in by_task(result.evaluations).items():
        yield task, [items[variant] for variant in VARIANTS if variant in items]


def _bar(result: Run, item: Evaluation) -> _Bar:
    beside = "" if item.variant == "dense" else beside_dense(result, item) or ""
    return _Bar(item.variant, item.value, item.stderr, with_error(item), beside)


def _between(dense: Evaluation, variant: Variant, value: float | None) -> _Bar:
    if value is None:
        return _Bar(variant)
    metric = METRICS[dense.metric]
    share = value / dense.value if dense.value else 0.0
    beside = f"about {share:.2f} x dense" if metric.by_ratio else f"about {percent(share)}"
    return _Bar(variant, value, None, f"about {metric.words(value)}", beside if share else "")


def _figures(item: Evaluation, bars: list[_Bar], scale: Sequence[Evaluation] = ()) -> Markup:
    """A row for each model: its value, the bar, the difference to the dense one. The longest is of ``bars`` or ``scale``; the
    metric and the task are those of ``item``.
    """
    metric, reach = METRICS[item.metric], _reach(bars, scale)
    caption = f"{capitalised(metric.title_of(item.task))}, {metric.better}: {metric.meaning}."
    rows = [
        row(
            variant_name(bar.variant).capitalize(),
            cell(bar.words),
            cell(_track(reach if bar.value is None else bar.value, bar.stderr, reach), class_="bar"),
            cell(bar.beside),
            class_=f"{bar.variant} {_state(bar)}",
        )
        for bar in bars
    ]
    return table(("Model", "Value", "", "Beside dense"), rows, label=caption, caption=caption)


def _reach(bars: Sequence[_Bar], scale: Sequence[Evaluation]) -> float:
    """The longest bar with its whisker, of ``bars`` or ``scale``."""
    reached = [abs(bar.value) + (bar.stderr or 0.0) for bar in bars if bar.value is not None]
    return max([*reached, *(abs(item.value) + item.stderr for item in scale)], default=0.0) or 1.0


def _state(bar: _Bar) -> str:
    return "unknown" if bar.value is None else "between" if bar.stderr is None else "measured"


def _differences(items: list[Evaluation]) -> list[Markup]:
    """The differences to the dense model alone, as large as they fit: bars of values near to each other look alike.

    Empty if the paired standard errors are not known, as of runs of older versions.
    """
    metric, (dense, *others) = METRICS[items[0].metric], items
    found = [(item, difference(dense, item)) for item in others]
    known = [(item, each.change, each.stderr) for item, each in found if each.paired and each.stderr is not None]
    if dense.variant != "dense" or not known or len(known) < len(found):
        return []
    reach = max(abs(change) + stderr for _, change, stderr in known) or 1.0
    rows = [
        row(
            variant_name(item.variant).capitalize(),
            cell(metric.change_words(change, stderr)),
            cell(_track(change, stderr, reach, zero=50.0), class_="bar"),
            class_=item.variant,
        )
        for item, change, stderr in known
    ]
    worse = "Right" if metric.lower_is_better else "Left"
    caption = f"{worse} of the line is worse than dense; whiskers are one paired standard error."
    figures = table(("Model", "Beside dense", ""), rows, label=f"Differences to dense, {metric.title}", caption=caption)
    return [element("details", element("summary", "Only the differences"), figures)]


def _track(value: float, stderr: float | None, reach: float, zero: float = 0.0) -> Markup:
    """A bar from ``zero`` (percent of the width) to the value, and a whisker of one standard error to each side; ``reach`` is
    the value at the end. The number stands beside it.
    """

    def part(name: str, low: float, high: float) -> Markup:
        left, right = (max(0.0, zero + (100 - zero) * end / reach) for end in (low, high))
        return element("span", class_=name, style=f"left:{left:.2f}%;width:{right - left:.2f}%")

    parts = [part("fill", min(value, 0.0), max(value, 0.0))]
    parts += [part("whisker", value - stderr, value + stderr)] if stderr is not None else []
    parts += [element("span", class_="middle")] if zero else []
    return element("span", *parts, class_="track", aria_hidden="true")
