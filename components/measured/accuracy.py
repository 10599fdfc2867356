"""The Accuracy tab: the metric of the three models, the test items whose answers changed, and size and speed."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import gradio as gr
from gradio.blocks import Block

from components.measured.size_and_speed import CostsPanel
from components.shared.markup import Markup, cell, element, table
from components.shared.panel import NO_RUN, Updates, begin_with
from components.shared.studio import Bus, Studio
from liar.report.plots.metric_bars import metric_bars
from liar.report.plots.text_moves import text_map_figure
from liar.report.view import View, query_of
from liar.report.words.answer_sentences import changes_of, group_extent
from liar.report.words.findings import findings
from liar.report.words.metric_sentences import (
    baseline,
    beside_dense,
    capitalised,
    in_doubt,
    recovery,
    recovery_words,
    sample,
    stderr_words,
    value_words,
    variant_name,
)
from liar.results import CHANGE_GROUPS, VARIANTS, Change, Evaluation, RunResult, TextMap, Variant
from liar.spec import PruneSpec
from liar.statistics.compare import by_metric, by_task
from liar.tasks.metrics import METRICS
from liar.tasks.registry import credits_of, questions
from liar.tasks.texts import Credit

_NO_LABELS = "Nothing measured here is simply right or wrong, so no answer can turn from one to the other."

_HEAD = ("Task", "Model", "Value", "Standard error", "Beside dense", "Recovery")


class AccuracyPanel:
    """Bars of every metric, a table of the same figures, the texts whose answers changed, and size and speed."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        gr.HTML(
            "<h3>Before and after</h3><p>“Pruned” is the same mask without reconstruction. "
            "Whiskers are one standard error.</p>",
            elem_classes=["caption"],
        )
        self.plot = gr.Plot(show_label=False, container=False, elem_id="metrics")
        self.table = gr.HTML("", elem_id="measures")
        self.store = studio.store
        self.changes = gr.HTML("", elem_id="changes")
        self.map_words = gr.HTML("", visible=False, elem_id="text-map-words")
        self.map = gr.Plot(show_label=False, container=False, visible=False, elem_id="text-map")
        self.costs = CostsPanel(studio, bus)
        self.outputs: list[Block] = [self.plot, self.table, self.changes, self.map_words, self.map]
        if result is not None:
            begin_with(self.show(result.spec, result))

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        if run is None:
            return {self.plot: None, self.table: f"<p>{NO_RUN}</p>", self.changes: "", **self._map(None)}
        return {
            self.plot: metric_bars(run),
            self.table: _table(run),
            self.changes: self._what_changed(run),
            **self._map(next(iter(run.maps), None)),
        }

    def _map(self, found: TextMap | None) -> Updates:
        """Where the texts of an embedder moved; hidden for any other model."""
        if found is None:
            return dict.fromkeys((self.map_words, self.map), gr.update(value=None, visible=False))
        return {
            self.map_words: gr.update(value=_map_words(found), visible=True),
            self.map: gr.update(value=text_map_figure(found), visible=True),
        }

    def _what_changed(self, result: RunResult) -> str:
        """Groups of changed texts for each task that has right and wrong answers; a sentence if there are none."""
        metrics = {item.task: METRICS[item.metric] for item in result.evaluations}
        labelled = {
            item.task: None
            for item in result.evaluations
            if metrics[item.task].reads in ("right", "classes", "scores") or (item.items and item.items.right)
        }
        if labelled and result.changes:
            return "".join(f"<h4>What changed: {task}</h4>{_groups(result, task)}" for task in labelled)
        sentence = _NO_LABELS
        if labelled:
            sentence = "No changed text is stored with this run."
        elif not metrics:
            sentence = "No task was measured in this run, so there is nothing to compare."
        elif any(metric.of_windows for metric in metrics.values()):
            sentence = f"{_NO_LABELS} {self._questions(result.spec)}"
        return f"<h4>What changed</h4><p>{sentence}</p>"

    def _questions(self, spec: PruneSpec) -> str:
        """Sentence about the tasks that ask a language model questions, with a link to a stored run of them."""
        asked = tuple(task.name for task in questions())
        names = " or ".join(f"{task.name} ({task.title})" for task in questions())
        way = f"To ask a language model questions that have a right answer, choose {names} under “Measured on”."
        run = self.store.load(spec.model_copy(update={"evaluate": (*spec.evaluate, *asked)}).key)
        if run is None:
            return escape(way)
        link = query_of(run.spec, View(tab="accuracy", layout="full"))
        return f'{escape(way)} <a href="?{escape(link)}">Open the stored run of this recipe that asked them.</a>'


def _map_words(found: TextMap) -> str:
    """What the map shows."""
    credit = "".join(map(_credit, credits_of([found.task])))
    return (
        f"<h4>Where the texts moved</h4><p>Each point is the vector of one of {len(found.texts)} texts in the dense model, "
        "each arrow leads to its vector in the smaller one. Both maps have the axes along which the dense vectors vary most, "
        f"which hold {100 * found.share:.0f} % of their variance, so most of a move is out of sight.</p>{credit}"
    )


# -- the table of figures ----------------------------------------------------------------------------------------------


def _table(result: RunResult) -> str:
    if not result.evaluations:
        return ""
    groups = (_rows(result, list(items.values())) for items in by_task(result.evaluations).values())
    return (
        table(_HEAD, *groups, label="Figures of the bars")
        + f"<p>Recovery is the share of what pruning broke that the repair recovered. {_errors(result)}</p>"
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in (*_baselines(result), *findings(result)))
    )


def _baselines(result: RunResult) -> Iterator[str]:
    """What answers without knowledge would reach, and how the classes of the model are read, for each task."""
    for task, items in by_task(result.evaluations).items():
        item = next(iter(items.values()))
        if (words := baseline(item)) is not None:
            yield f"{capitalised(task)} {words[:1].lower()}{words[1:]}"
        if item.note is not None:
            yield item.note


def _errors(result: RunResult) -> str:
    """Sentence about the standard error of the column "Beside dense"."""
    if all(item.items is not None for item in result.evaluations):
        return "± beside dense is the standard error of the difference, paired item by item."
    return "This run was stored without single answers, so no standard error of a difference is known."


def _rows(result: RunResult, items: list[Evaluation]) -> Iterator[Markup]:
    """A row for each figure of a task; the first of each metric has the header of all, with what was read beneath the main
    one.
    """
    for place, figures in enumerate(by_metric(items)):
        name = METRICS[figures[0].metric].title_of(figures[0].task)
        read = [element("small", sample(figures[0]))] if place == 0 else []
        headers = [element("th", name, *read, scope="rowgroup", rowspan=str(len(figures)))]
        for figure in figures:
            headers.append(element("th", variant_name(figure.variant), scope="row"))
            yield element("tr", *headers, *map(cell, _figures(result, figure, is_main=place == 0)))
            headers = []


def _figures(result: RunResult, item: Evaluation, *, is_main: bool) -> list[str]:
    recovered = "—"
    if item.variant == "reconstructed" and is_main:
        if (found := recovery(result, item.task)) is not None:
            recovered = recovery_words(found)
        elif in_doubt(result, item.task):
            recovered = "within the error"
    return [value_words(item), f"± {stderr_words(item)}", beside_dense(result, item) or "—", recovered]


# -- changed answers ---------------------------------------------------------------------------------------------------


def _groups(result: RunResult, task: str) -> str:
    """Each group of changed texts, with their attribution."""
    credit, markup = "".join(map(_credit, credits_of([task]))), ""
    for group, (title, meaning) in CHANGE_GROUPS.items():
        markup += f"<h5>{title}: {group_extent(result, task, group)}</h5><p>{meaning}</p>"
        if changes := changes_of(result, task, group):
            texts = "1 text" if len(changes) == 1 else f"{len(changes)} texts"
            items = "".join(f"<li>{_change(change)}</li>" for change in changes)
            summary = f'<summary aria-label="Show {texts}, {title.lower()}">Show {texts}</summary>'
            markup += f"<details>{summary}<ul>{items}</ul>{credit}</details>"
    return markup


def _credit(credit: Credit) -> str:
    link = f'<a href="{escape(credit.link)}" target="_blank" rel="noreferrer">{escape(credit.licence)}</a>'
    return f"<p>{escape(credit.words)}; licence {link}.</p>"


def _change(change: Change) -> str:
    """A text, its label and three answers; a mark and a word, not colour alone, show which are wrong."""
    answers = "".join(
        f'<div class="{variant}"><dt>{variant}</dt><dd>{_answer(change, variant)}</dd></div>' for variant in VARIANTS
    )
    pair = "" if change.pair is None else f"<p>{escape(change.pair)}</p>"
    return (
        f"<p>{escape(change.text)}</p>{pair}<dl><div><dt>label</dt><dd>{escape(change.label)}</dd></div>{answers}</dl>"
    )


def _answer(change: Change, variant: Variant) -> str:
    words = escape(change.answers[variant] or "no answer")
    return f"✓ {words}" if change.is_right(variant) else f'<span class="wrong">✗ {words}, wrong</span>'
