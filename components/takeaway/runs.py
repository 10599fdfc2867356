"""The Runs tab: a table of all kept runs, to open, compare, download or delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.browser import DOWNLOAD, button_clicks
from components.shared.downloads import served_folder
from components.shared.markup import cell, row, table
from components.shared.panel import QUEUED, UNQUEUED, Updates
from components.takeaway.runs_table import runs_table, when_kept
from liar.errors import LiarError, StorageError
from liar.files import write_atomically
from liar.report.export import as_json, file_stem
from liar.report.plots.heatmap import comparison_heatmap
from liar.report.view import View
from liar.report.words.metric_sentences import metric_change, value_words
from liar.report.words.run_labels import run_labels
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import RunComparison, compare
from liar.store import RunSummary
from liar.tasks.metrics import METRICS

if TYPE_CHECKING:
    from components.shared.studio import Bus, Studio

Opened = tuple[str, str]

_CONFIRM = "(key, shown) => [key && confirm('Delete this run for good?') ? key : null, shown]"

_NONE = "<p>No run is kept yet: choose a recipe and press “Apply”.</p>"
_GONE = "That run is not kept here any more."


class RunsPanel:
    """Table of all runs, and below it the actions on one or two of them."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus, self.may_delete = studio, bus, studio.profile.may_delete
        gr.HTML(
            "<h3>Runs</h3><p>Every run that is kept here: yours, newest first, then those that come with the page. Choose "
            "one to open it in all panels.</p>",
            elem_classes=["caption"],
        )
        runs = studio.store.summaries()
        shown = result.spec.key if result else ""
        self.table = gr.HTML(
            _listing(runs, shown), js_on_load=button_clicks("key"), elem_id="runs-table", elem_classes=["runs-table"]
        )
        self.chosen = gr.State("")
        choices = _choices(runs)
        with gr.Row(elem_id="runs-choice"):
            self.a = gr.Dropdown(choices, value=_among(choices, shown), label="Run A", min_width=260, elem_id="run-a")
            self.b = gr.Dropdown(
                choices, value=None, label="Run B", info="To compare with run A.", min_width=260, elem_id="run-b"
            )
        with gr.Row(elem_id="runs-actions"):
            self.open = gr.Button("Open run A", size="md", min_width=120)
            self.download = gr.Button("Download run A (JSON)", size="md", min_width=120)
            self.delete = gr.Button(
                "Delete run A", size="md", min_width=120, variant="stop", visible=self._may_go(runs, shown)
            )
        self.message = gr.HTML("", elem_id="runs-said")
        self.comparison = gr.HTML("", elem_id="runs-comparison", elem_classes=["runs-table"])
        self.heatmap = gr.Plot(visible=False, show_label=False, container=False, elem_id="runs-heatmap")
        self.file = gr.DownloadButton(visible="hidden")

    @property
    def outputs(self) -> list[Block]:
        return [self.table, self.a, self.b, self.delete]

    def show(self, result: RunResult) -> Updates:
        runs = self.studio.store.summaries()
        choices = _choices(runs)
        key = result.spec.key
        return {
            self.table: _listing(runs, key),
            self.a: gr.update(choices=choices, value=_among(choices, key)),
            self.b: gr.update(choices=choices),
            self.delete: gr.update(visible=self._may_go(runs, key)),
        }

    def blank(self, spec: PruneSpec) -> Updates:
        return {self.table: _listing(self.studio.store.summaries(), "")}

    def wire(self) -> None:
        """Connect table, choices and buttons, and read the store again each time the tab is opened."""
        bus = self.bus
        open_run_on(self.table.select, picked, None, self.chosen, bus)
        open_run_on(self.open.click, _named, self.a, self.chosen, bus)
        bus.view.change(self.refresh, [bus.view, bus.shown], [self.table, self.a, self.b], **UNQUEUED)
        compared: list[Block] = [self.comparison, self.heatmap, self.message]
        gr.on([self.a.input, self.b.input], self.compare, [self.a, self.b], [*compared, self.delete], **UNQUEUED)
        made = self.download.click(self.file_of, self.a, [self.file, self.message], **UNQUEUED)
        made.success(None, self.file, None, js=DOWNLOAD, **UNQUEUED)
        if self.may_delete:
            self.delete.click(self.drop, [self.a, bus.shown], [*self.outputs, *compared], js=_CONFIRM, **UNQUEUED)

    # -- events -------------------------------------------------------------------------------------------------

    def refresh(self, view: View, shown: str) -> Updates:
        """Update the list if the visitor has opened this tab."""
        if view.tab != "runs":
            return {self.table: gr.skip()}
        runs = self.studio.store.summaries()
        choices = _choices(runs)
        return {
            self.table: _listing(runs, shown),
            self.a: gr.update(choices=choices),
            self.b: gr.update(choices=choices),
        }

    def compare(self, a: str | None, b: str | None) -> Updates:
        """Show settings, metrics and sites of two runs; nothing until both are chosen."""
        offered: Updates = {self.delete: gr.update(visible=self._may_go(self.studio.store.summaries(), a))}
        if not a or not b:
            return {**offered, **self._nothing("")}
        first, second = self.studio.store.load(a), self.studio.store.load(b)
        if first is None or second is None:
            return {**offered, **self._nothing(status.problem(_GONE))}
        found = compare(first, second)
        return {
            **offered,
            self.comparison: _comparison(found),
            self.heatmap: gr.update(value=comparison_heatmap(found), visible=bool(found.sites)),
            self.message: "",
        }

    def file_of(self, key: str | None) -> Updates:
        """Write run A as a JSON file, or show why that failed."""
        try:
            return {self.file: str(self._write(key)), self.message: ""}
        except LiarError as error:
            return {self.file: None, self.message: status.problem(str(error))}

    def drop(self, key: str | None, shown: str) -> Updates:
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
        runs = self.studio.store.summaries()
        choices = _choices(runs)
        return {
            **self._nothing(message),
            self.table: _listing(runs, shown),
            self.a: gr.update(choices=choices, value=_among(choices, key)),
            self.b: gr.update(choices=choices, value=None),
            self.delete: gr.update(visible=self._may_go(runs, key)),
        }

    def _may_go(self, runs: Sequence[RunSummary], key: str | None) -> bool:
        """Whether run ``key`` can be deleted: a shipped one cannot."""
        return self.may_delete and any(run.spec.key == key and run.saved is not None for run in runs)

    def _nothing(self, message: str) -> Updates:
        return {self.comparison: "", self.heatmap: gr.update(visible=False), self.message: message}

    def _write(self, key: str | None) -> Path:
        result = self.studio.store.load(key) if key else None
        if result is None:
            raise StorageError("Choose run A first." if not key else _GONE)
        path = served_folder(self.file, "runs", result.spec.key) / f"{file_stem(result.spec)}.json"
        write_atomically(path, as_json(result))
        return path


def open_run_on(
    event: Callable[..., Any], read: Callable[..., Opened], inputs: Block | None, chosen: gr.State, bus: Bus
) -> None:
    """Let ``event`` open the run that ``read`` returns, even if it was the last one opened.

    ``read`` returns the run's key for ``chosen`` and "" for ``bus.open``, so that writing the key to it is a change.
    """
    choosing = event(read, inputs, [chosen, bus.open], **QUEUED)
    choosing.then(lambda key: key, chosen, bus.open, **QUEUED)


def picked(event: gr.EventData) -> Opened:
    """Run of a clicked button in a :func:`runs_table`, or of a clicked point in a figure."""
    key = getattr(event, "key", None)
    return (key if isinstance(key, str) else ""), ""


def _named(key: str | None) -> Opened:
    return key or "", ""


# -- the list -----------------------------------------------------------------------------------------------------------


def _listing(runs: Sequence[RunSummary], shown: str) -> str:
    return runs_table(runs, shown, "Runs that are kept here", wide=True) if runs else _NONE


def _choices(runs: Sequence[RunSummary]) -> list[tuple[str, str]]:
    """Labels and keys of a menu; the differences between runs come first, since a closed menu cuts off the end."""
    labels = run_labels([run.spec for run in runs])
    return [
        (f"{label}, {run.spec.model} ({when_kept(run)})", run.spec.key) for run, label in zip(runs, labels, strict=True)
    ]


def _among(choices: Sequence[tuple[str, str]], key: str) -> str | None:
    return key if any(key == known for _, known in choices) else None


# -- two runs side by side -----------------------------------------------------------------------------------------------


def _comparison(found: RunComparison) -> str:
    """HTML tables of the settings that differ and of the metrics that both runs measured."""
    metrics = [
        (f"{METRICS[a.metric].title_of(a.task)}, {a.variant}", value_words(a), value_words(b), metric_change(a, b))
        for a, b in found.metrics
    ]
    chosen = _table("Settings that differ", ("Setting", "Run A", "Run B"), found.settings, "The settings are the same.")
    measured = _table(
        "Metrics that both measured",
        ("Metric", "Run A", "Run B", "From A to B"),
        metrics,
        "They measured nothing alike.",
    )
    sites = "<p>Error of every site, A ÷ B: blue where B is nearer to the dense model.</p>" if found.sites else ""
    if found.a.spec.schedule != found.b.spec.schedule:
        sites += "<p>Errors of a run that is not one-shot are measured on inputs that earlier sites changed.</p>"
    return chosen + measured + sites


def _table(label: str, names: Sequence[str], rows: Sequence[Sequence[str]], otherwise: str) -> str:
    if not rows:
        return f"<p>{otherwise}</p>"
    return table(names, (row(first, *map(cell, rest)) for first, *rest in rows), label=label, caption=label)
