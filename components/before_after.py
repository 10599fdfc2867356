"""Before and after in the simple layout: a bar with whiskers for each model and task, with its number and the change beside."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from components.markup import Markup, cell, element, row, table
from components.panel import NO_RUN, Updates
from components.provenance import BriefProvenance
from liar.report.change_groups import changes_in_numbers
from liar.report.compare import difference
from liar.report.metric_sentences import beside_dense, measured_tasks, stderr_words, value_words, variant_name
from liar.results import VARIANTS, Evaluation, RunResult
from liar.spec import PruneSpec
from liar.tasks.metrics import METRICS


class BeforeAfterPanel:
    """The main metric of each task of a run, of the dense, the pruned and the repaired model."""

    def __init__(self, result: RunResult | None) -> None:
        with gr.Column(elem_id="before-after-card", elem_classes=["card", "simple-only"]):
            gr.HTML("<h3>Before and after</h3>")
            self.provenance = BriefProvenance(result)
            self.bars = gr.HTML(_bars(result) if result else f"<p>{NO_RUN}</p>", elem_id="before-after")

    @property
    def outputs(self) -> list[Block]:
        return [self.bars]

    def show(self, result: RunResult) -> Updates:
        return {self.bars: _bars(result)}

    def blank(self, spec: PruneSpec) -> Updates:
        return {self.bars: f"<p>{NO_RUN}</p>"}


def _bars(result: RunResult) -> str:
    if not result.evaluations:
        return "<p>No task was measured in this run, so there is nothing to compare.</p>"
    return "".join(_task(result, task) for task in measured_tasks(result))


def _task(result: RunResult, task: str) -> Markup:
    """A row for each model: its value, the bar, the difference to the dense one; then how many answers changed."""
    items = [
        item for variant in VARIANTS for item in result.evaluations if (item.task, item.variant) == (task, variant)
    ]
    metric = METRICS[items[0].metric]
    reach = max(abs(item.value) + item.stderr for item in items) or 1.0
    title = metric.title_of(task)
    caption = f"{title[:1].upper()}{title[1:]}, {metric.better}: {metric.meaning}."
    rows = [
        row(
            variant_name(item.variant).capitalize(),
            cell(f"{value_words(item)} ± {stderr_words(item)}"),
            cell(_bar(item, reach), class_="bar"),
            cell("" if item.variant == "dense" else beside_dense(result, item) or ""),
            class_=item.variant,
        )
        for item in items
    ]
    figures = table(("Model", "Value", "", "Beside dense"), rows, label=caption, caption=caption)
    changed = changes_in_numbers(result, task)
    parts = [figures, *([element("p", changed)] if changed else []), *_differences(items)]
    return element("div", *parts)


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
            cell(_change(change, stderr, reach), class_="bar"),
            class_=item.variant,
        )
        for item, change, stderr in known
    ]
    worse = "Right" if metric.lower_is_better else "Left"
    caption = f"{worse} of the line is worse than dense; whiskers are one paired standard error."
    figures = table(("Model", "Beside dense", ""), rows, label=f"Differences to dense, {metric.title}", caption=caption)
    return [element("details", element("summary", "Only the differences"), figures)]


def _change(change: float, stderr: float, reach: float) -> Markup:
    """A bar from the middle, where the dense model is, and a whisker of one paired standard error to each side."""
    low, high = (max(0.0, 50 + 50 * (change + side * stderr) / reach) for side in (-1, 1))
    start, width = min(0.0, change), abs(change)
    fill = element("span", class_="fill", style=f"left:{50 + 50 * start / reach:.2f}%;width:{50 * width / reach:.2f}%")
    whisker = element("span", class_="whisker", style=f"left:{low:.2f}%;width:{high - low:.2f}%")
    return element("span", fill, whisker, element("span", class_="middle"), class_="track", aria_hidden="true")


def _bar(item: Evaluation, reach: float) -> Markup:
    """A bar as long as the value, and a whisker of one standard error to each side; the number stands beside it."""
    low, high = (max(0.0, 100 * (item.value + side * item.stderr) / reach) for side in (-1, 1))
    fill = element("span", class_="fill", style=f"width:{max(0.0, 100 * item.value / reach):.2f}%")
    whisker = element("span", class_="whisker", style=f"left:{low:.2f}%;width:{high - low:.2f}%")
    return element("span", fill, whisker, class_="track", aria_hidden="true")
