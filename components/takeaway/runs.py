"""The Runs tab: a table of all kept runs, to open, compare, download or delete them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.browser import button_clicks
from components.shared.downloads import Content, Download
from components.shared.markup import cell, element, row, table
from components.shared.panel import QUEUED, UNQUEUED, Updates, begin_with
from components.shared.studio import Bus, Studio
from liar.errors import LiarError, StorageError
from liar.report.export import as_json
from liar.report.plots.heatmap import comparison_heatmap
from liar.report.view import View
from liar.report.words.metric_sentences import Run, capitalised, counts, metric_change, value_words
from liar.report.words.sentences import run_labels
from liar.results import VARIANTS, RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import by_task, common_metrics, common_sites, differing_settings
from liar.store import RunSummary
from liar.tasks.metrics import METRICS, Metric

Opened = tuple[str, str]

# Which rows are shown is decided in the browser: the filter stays while the list is drawn anew.
_FILTER = """
const field = () => document.querySelector('#runs-filter :is(input, textarea)');
const filter = () => {
  const words = (field()?.value ?? '').toLowerCase().split(/\\s+/);
  const rows = [...element.querySelectorAll('tbody tr')];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  const none = element.querySelector('.none');
  if (none) none.hidden = rows.some((row) => !row.hidden);
};
document.addEventListener('input', (event) => { if (event.target === field()) filter(); });
watch('value', () => requestAnimationFrame(filter));
"""

_CONFIRM = "(key, ...shown) => [key && confirm('Delete this run for good?') ? key : null, ...shown]"

_NONE = "<p>No run is kept yet: choose a recipe and press “Measure it”.</p>"
_NO_MATCH = '<p class="none" hidden>No run has these words; write fewer.</p>'
_GONE = "That run is not kept here any more."
_ALL = 100_000


class RunsPanel:
    """Table of all runs, and below it the actions on one or two of them."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus, self.may_delete = studio, bus, studio.profile.may_delete
        gr.HTML(
            "<h3>Runs</h3><p>Every run that is kept here: those of the model shown, then the others; of each yours first, the "
            "newest at the top, then those that come with the page. Choose one to open it in all panels.</p>",
            elem_classes=["caption"],
        )
        gr.Textbox(
            label="Filter",
            placeholder="topic 50 %",
            max_lines=1,
            elem_id="runs-filter",
            interactive=True,  # otherwise Gradio disables it, since no event reads it
        )
        script = button_clicks("key") + _FILTER
        self.table = gr.HTML("", js_on_load=script, elem_id="runs-table", elem_classes=["runs-table"])
        with gr.Row(elem_id="runs-choice"):
            # Every run, not only the first hundred: Gradio drops None, its own word for all, on the way to the browser.
            menu = partial(gr.Dropdown, value=None, num_choices_shown=_ALL, min_width=260)
            self.a = menu(label="Run A", elem_id="run-a")
            self.b = menu(label="Run B", info="To compare with run A.", elem_id="run-b")
        with gr.Row(elem_id="runs-actions"):
            self.open = gr.Button("Open run A", size="md", min_width=120)
            self.save = gr.Button("Download run A (JSON)", size="md", min_width=120)
            self.delete = gr.Button("Delete run A", size="md", min_width=120, variant="stop")
        self.message = gr.HTML("", elem_id="runs-said")
        self.comparison = gr.HTML("", elem_id="runs-comparison", elem_classes=["runs-table"])
        self.heatmap = gr.Plot(visible=False, show_label=False, container=False, elem_id="runs-heatmap")
        self.download = Download("runs", self.message)
        self.outputs: list[Block] = [self.table, self.a, self.b, self.delete]
        shown = result.spec.key if result else ""
        begin_with(self._listed(shown, shown, result.spec.model if result else ""))

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        if run is None:
            return {self.table: _listing(self._runs(spec.model), "")}
        return self._listed(spec.key, spec.key, spec.model)

    def wire(self) -> None:
        """Connect table, choices and buttons, and read the store again each time the tab is opened."""
        bus = self.bus
        self.table.select(picked, None, bus.open, **QUEUED)
        self.open.click(opened, self.a, bus.open, **QUEUED)
        lists: list[Block] = [self.table, self.a, self.b]
        bus.view.change(self.refresh, [bus.view, bus.spec, bus.shown], lists, **UNQUEUED)
        compared: list[Block] = [self.comparison, self.heatmap, self.message]
        gr.on([self.a.input, self.b.input], self.compare, [self.a, self.b], [*compared, self.delete], **UNQUEUED)
        self.download.wire(self.save, self.content, self.a)
        if self.may_delete:
            inputs: list[Block] = [self.a, bus.spec, bus.shown]
            self.delete.click(self.drop, inputs, [*self.outputs, *compared], js=_CONFIRM, **UNQUEUED)

    # -- events -------------------------------------------------------------------------------------------------

    def refresh(self, view: View, spec: PruneSpec, shown: str) -> Updates:
        """Update the list if the visitor has opened this tab."""
        if view.tab != "runs":
            return {self.table: gr.skip()}
        runs = self._runs(spec.model)
        choices = gr.update(choices=_choices(runs))
        return {self.table: _listing(runs, shown), self.a: choices, self.b: choices}

    def compare(self, a: str | None, b: str | None) -> Updates:
        """Show settings, metrics and sites of two runs; nothing until both are chosen."""
        first, second = self.studio.store.load(a or ""), self.studio.store.load(b or "")
        updates = self._nothing("")
        if first is not None and second is not None:
            updates[self.comparison] = _comparison(first, second)
            has_sites = bool(common_sites(first, second))
            updates[self.heatmap] = gr.update(value=comparison_heatmap(first, second), visible=has_sites)
        elif a and b:
            updates[self.message] = status.problem(_GONE)
        return {**updates, self.delete: gr.update(visible=self._may_go(self.studio.store.summaries(), a))}

    def content(self, key: str | None) -> Content:
        """Run A as JSON; raises :class:`StorageError` if none is chosen or it is not kept any more."""
        result = self.studio.store.load(key or "")
        if result is None:
            raise StorageError("Choose run A first." if not key else _GONE)
        return result.spec, ".json", as_json(result)

    def drop(self, key: str | None, spec: PruneSpec, shown: str) -> Updates:
        """Delete run A; ``key`` is None if the confirmation was cancelled."""
        if not key:
            return {self.message: gr.skip()}
        message = status.note("The run is deleted.")
        try:
            if not self.may_delete:
                raise StorageError("All visitors share the runs of this page, so none of them can be deleted.")
            self.studio.store.delete(key)
        except LiarError as error:
            message = status.problem(str(error))
        listed = self._listed(shown, key, spec.model)
        return {**self._nothing(message), **listed, self.b: {**listed[self.b], "value": None}}

    def _runs(self, model: str) -> list[RunSummary]:
        """Summaries of the kept runs, those of ``model`` first."""
        return sorted(self.studio.store.summaries(), key=lambda run: run.spec.model != model)

    def _may_go(self, runs: Sequence[RunSummary], key: str | None) -> bool:
        """Whether run ``key`` can be deleted: a shipped one cannot."""
        return self.may_delete and any(run.spec.key == key and run.saved is not None for run in runs)

    def _nothing(self, message: str) -> Updates:
        return {self.comparison: "", self.heatmap: gr.update(visible=False), self.message: message}

    def _listed(self, shown: str, chosen: str | None, model: str) -> Updates:
        """The table and both menus as the store is now; run A is the one ``chosen``, if it is kept."""
        runs = self._runs(model)
        choices = _choices(runs)
        return {
            self.table: _listing(runs, shown),
            self.a: gr.update(choices=choices, value=_among(choices, chosen)),
            self.b: gr.update(choices=choices),
            self.delete: gr.update(visible=self._may_go(runs, chosen)),
        }


def picked(event: gr.EventData) -> Opened:
    """Run of a clicked button in a :func:`runs_table`, or of a clicked point in a figure, for ``bus.open``."""
    key = getattr(event, "key", None)
    return opened(key if isinstance(key, str) else "")


def opened(key: str | None) -> Opened:
    """Value of ``bus.open`` that opens a run, even if it was the last one opened."""
    return key or "", uuid4().hex


# -- the list -----------------------------------------------------------------------------------------------------------


def runs_table(runs: Sequence[Run], shown: str, label: str, *, wide: bool) -> str:
    """HTML table of ``runs`` whose first cells are buttons that open them; ``shown`` is the key of the run shown.

    Each main metric has a column, those of the first run first. A ``wide`` table also has the model and the time when the run
    was kept.
    """
    metrics = list(dict.fromkeys(METRICS[item.metric] for run in runs for item in run.evaluations))
    titles = [capitalised(metric.title) for metric in metrics]
    names = ["Run", *(["Kept (UTC)", "Model"] if wide else []), *titles, "Parameters left"]
    rows = []
    for run, name in zip(runs, run_labels([run.spec for run in runs]), strict=True):
        current = "true" if run.spec.key == shown else None
        button = element("button", name, type="button", data_key=run.spec.key, aria_current=current)
        words = [when_kept(run), run.spec.model] if wide else []
        words += [
            *(_values(run, metric) for metric in metrics),
            " of ".join(counts(run.totals.parameters_after, run.totals.parameters_before)),
        ]
        rows.append(row(button, *map(cell, words), aria_current=current))
    return table(names, rows, label=label, caption=f"{label}; of each metric dense → pruned → repaired")


def when_kept(run: Run) -> str:
    """Time at which a run was stored (UTC); "shipped" for one that comes with the program."""
    saved = run.saved if isinstance(run, RunSummary) else None
    return f"{saved:%Y-%m-%d %H:%M}" if saved else "shipped"


def _values(run: Run, metric: Metric) -> str:
    """Values of the three variants on the first task that ``metric`` is the main one of; empty if there is none."""
    for items in by_task(run.evaluations).values():
        if next(iter(items.values())).metric == metric.name:
            return " → ".join(value_words(items[variant]) if variant in items else "?" for variant in VARIANTS)
    return ""


def _listing(runs: Sequence[RunSummary], shown: str) -> str:
    return runs_table(runs, shown, "Runs that are kept here", wide=True) + _NO_MATCH if runs else _NONE


def _choices(runs: Sequence[RunSummary]) -> list[tuple[str, str]]:
    """Labels and keys of a menu; the differences between runs come first, since a closed menu cuts off the end."""
    labels = run_labels([run.spec for run in runs])
    return [
        (f"{label}, {run.spec.model} ({when_kept(run)})", run.spec.key) for run, label in zip(runs, labels, strict=True)
    ]


def _among(choices: Sequence[tuple[str, str]], key: str | None) -> str | None:
    return key if any(key == known for _, known in choices) else None


# -- two runs side by side -----------------------------------------------------------------------------------------------


def _comparison(first: RunResult, second: RunResult) -> str:
    """HTML tables of the settings that differ and of the metrics that both runs measured."""
    metrics = [
        (f"{METRICS[a.metric].title_of(a.task)}, {a.variant}", value_words(a), value_words(b), metric_change(a, b))
        for a, b in common_metrics(first, second)
    ]
    settings, names = differing_settings(first, second), ("Metric", "Run A", "Run B", "From A to B")
    chosen = _table("Settings that differ", ("Setting", "Run A", "Run B"), settings, "The settings are the same.")
    measured = _table("Metrics that both measured", names, metrics, "They measured nothing alike.")
    sites = ""
    if common_sites(first, second):
        sites = "<p>Error of every site, A ÷ B: blue where B is nearer to the dense model.</p>"
    if first.spec.schedule != second.spec.schedule:
        sites += "<p>Errors of a run that is not one-shot are measured on inputs that earlier sites changed.</p>"
    return chosen + measured + sites


def _table(label: str, names: Sequence[str], rows: Sequence[Sequence[str]], otherwise: str) -> str:
    if not rows:
        return f"<p>{otherwise}</p>"
    return table(names, (row(first, *map(cell, rest)) for first, *rest in rows), label=label, caption=label)
