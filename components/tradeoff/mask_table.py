"""Table of every criterion's mask under every reconstruction, computed cell by cell as a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from html import escape
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.downloads import Content, Download
from components.shared.job_bodies import loading, measured
from components.shared.job_button import JobButton, in_one_sentence
from components.shared.markup import cell, row, table
from components.shared.panel import QUEUED, UNQUEUED, Updates
from components.shared.studio import Bus, Studio
from liar.choices import Criterion, Reconstruction
from liar.errors import InvalidSpecError, StorageError
from liar.events import Progress
from liar.report.export import as_json, mask_table_csv
from liar.report.plots.masks import cell_words, mask_heatmap
from liar.report.view import View
from liar.report.words.metric_sentences import measured_words
from liar.report.words.sentences import choice
from liar.results import Evaluation, MaskCell
from liar.results import MaskTable as Table
from liar.spec import CRITERIA, RECONSTRUCTIONS, PruneSpec
from liar.statistics.compare import differing
from liar.store import MaskTableStore, spec_of_table
from server.job import Snapshot

Format = Literal["json", "csv"]

_FILES: dict[Format, str] = {"json": "This table (JSON)", "csv": "This table (CSV)"}

FEW_CRITERIA: list[Criterion] = ["magnitude", "wanda", "fluctuation", "obs", "kfac"]
"""Selected at first; of them kfac alone needs a backward pass, which the default allocation takes anyway."""


class MaskTable:
    """Table for the paper's open question: does a criterion that was made for one repair serve another?

    Every cell is stored under the recipe once it is computed, together with earlier ones, so that the recipe's address
    brings the table back.
    """

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        self.tables = MaskTableStore(studio.store.folder.parent / "mask-tables")
        gr.HTML(
            "<h3>Masks of one criterion, repair of another</h3><p>Every criterion prunes once, at the recipe's ratio, "
            "allocation and targets; every reconstruction then repairs that same mask. All of it is read from one "
            "calibration of the dense model, one-shot.</p>",
            elem_classes=["caption"],
        )
        self.criteria = gr.CheckboxGroup(list(CRITERIA), value=FEW_CRITERIA, label="Criteria")
        self.reconstructions = gr.CheckboxGroup(
            list(RECONSTRUCTIONS), value=list(RECONSTRUCTIONS), label="Reconstructions"
        )
        self.work = JobButton(
            studio.jobs, "Compute the table", "tradeoff-masks", "masks:", self._end, pieces="cells", remembered=True
        )
        self.words = gr.HTML("", elem_id="mask-words")
        self.plot = gr.Plot(visible=False, show_label=False, container=False, elem_id="mask-table")
        with gr.Accordion("The same as a table", open=False, visible=False) as self.twin:
            self.table = gr.HTML("", elem_classes=["runs-table"])
        with gr.Row(visible=False, elem_id="mask-files") as self.files:
            self.buttons = {name: gr.Button(words, size="md", min_width=150) for name, words in _FILES.items()}
        self.problem = gr.HTML("", elem_id="mask-problem")
        self.drawn = gr.State("")  # key of the table on the page
        self.download = Download("masks", self.problem)
        self.picture: list[Block] = [self.words, self.plot, self.twin, self.table, self.files, self.problem, self.drawn]
        self.outputs: list[Block] = [*self.work.outputs, *self.picture]

    def wire(self, opened: Any) -> None:
        """Connect the parts; after ``opened`` (the opening of the page), watch the table of this browser if it goes on."""
        inputs: list[Block] = [self.bus.spec, self.criteria, self.reconstructions]
        seen: list[Block] = [self.bus.view, self.bus.spec, self.work.job, self.drawn]
        made = self.work.button.click(self.compute, inputs, self.outputs, trigger_mode="once", **QUEUED)
        made.then(self.show_current, seen, self.picture, **UNQUEUED)
        gr.on([self.bus.view.change, self.bus.spec.change], self.show_stored, seen, self.picture, **UNQUEUED)
        for name, button in self.buttons.items():
            self.download.wire(button, partial(self.content, name), self.drawn)
        self.work.resume_with(opened, self.outputs, self._show)

    def show_stored(self, view: View, spec: PruneSpec, id: str, drawn: str) -> Updates:
        """Show the recipe's stored table after a change of tab or recipe, unless a table is being computed."""
        job = self.studio.jobs.get(id)
        at_work = job is not None and not job.facts.ended
        if view.tab != "trade-off" or at_work:
            return {self.drawn: gr.skip()}
        table = self.tables.find(spec)
        return self._draw(table) if table is not None or drawn else {self.drawn: gr.skip()}

    def show_current(self, view: View, spec: PruneSpec, id: str, drawn: str) -> Updates:
        """After the job, show the stored table of another recipe if the visitor has chosen one meanwhile."""
        asked = spec_of_table(spec), spec_of_table(spec.model_copy(update={"evaluate": ()}))
        if drawn in [named.key for named in asked]:
            return {self.drawn: gr.skip()}
        return self.show_stored(view, spec, id, drawn)

    def content(self, ending: Format, key: str) -> Content:
        """The table on the page in this format; raises :class:`StorageError` if it is not kept any more."""
        table = self.tables.load(key)
        if table is None:
            raise StorageError("This table is not kept here any more; compute it again.")
        return table.spec, f"-masks.{ending}", as_json(table) if ending == "json" else mask_table_csv(table)

    @in_one_sentence
    def compute(
        self, spec: PruneSpec, criteria: list[Criterion], reconstructions: list[Reconstruction], request: gr.Request
    ) -> Iterator[Updates]:
        """Fill the table cell by cell as one job."""
        if not criteria or not reconstructions:
            raise InvalidSpecError("Choose at least one criterion and one reconstruction.")
        rows = [name for name in CRITERIA if name in criteria]
        columns = [name for name in RECONSTRUCTIONS if name in reconstructions]
        self.studio.profile.check(spec)
        title = f"{len(rows)} criteria under {len(columns)} reconstructions"
        key = f"{spec.key}:{','.join(rows)}:{','.join(columns)}"
        yield from self.work.run(request, key, title, lambda: self._compute(spec, rows, columns), self._show)

    def _show(self, snapshot: Snapshot) -> Updates:
        table = snapshot.latest(Table) if snapshot.news else None
        return {} if table is None else self._draw(table, *(snapshot.latest(tuple) or ()))

    def _compute(
        self, asked: PruneSpec, rows: list[Criterion], columns: list[Reconstruction]
    ) -> Iterator[Progress | tuple[list[Criterion], list[Reconstruction]] | Table]:
        """In the worker: hand out the rows and columns, then the table as it grows, and store it even if no page watches."""
        from liar.jobs.mask_table import mask_table_steps
        from liar.runtime.environment import describe

        yield rows, columns
        loaded = yield from loading(self.studio, asked, pieces=len(rows) * len(columns))
        spec, named = measured(asked, loaded), spec_of_table(asked)
        table = Table(spec=named, environment=describe(loaded.model)).joined(self.tables.load(named.key))
        with closing(mask_table_steps(spec, rows, columns, loaded)) as steps:
            for step in steps:
                if isinstance(step, Progress):
                    yield step
                    continue
                new = {"cells": [step]} if isinstance(step, MaskCell) else {"cells": [], "dense": step.evaluation}
                table = table.model_copy(update=new).joined(table)
                with suppress(StorageError):  # reported in the status line at the end
                    self.tables.save(table)
                yield table

    def _end(self, snapshot: Snapshot) -> str:
        table, kept = snapshot.latest(Table), ""
        if table is not None and self.tables.load(table.spec.key) == table:
            kept = " The address of its recipe brings the table back."
        elif table is not None:
            kept = " It could not be stored and will be gone when this page is."
        return status.end(
            snapshot, done=f"Done: {snapshot.title}.{kept}", stopped=f"Stopped. The finished cells stay.{kept}"
        )

    def _draw(
        self, table: Table | None, criteria: Iterable[Criterion] = (), reconstructions: Iterable[Reconstruction] = ()
    ) -> Updates:
        """Show a table, with empty cells for what is asked for but not computed yet; hide all without."""
        shown = gr.update(visible=table is not None)
        hidden: Updates = {self.words: "", self.plot: shown, self.twin: shown, self.table: "", self.files: shown}
        hidden |= {self.problem: "", self.drawn: ""}
        if table is None:
            return hidden
        rows = {*criteria, *(cell.criterion for cell in table.cells)}
        columns = {*reconstructions, *(cell.reconstruction for cell in table.cells)}
        cells = sorted(table.cells, key=_place)
        heatmap = mask_heatmap(cells, sorted(rows, key=CRITERIA.index), sorted(columns, key=RECONSTRUCTIONS.index))
        return hidden | {
            self.words: f"<p>{escape(_mask_words(table.spec, table.dense))}</p>",
            self.plot: gr.update(value=heatmap, visible=True),
            self.table: _mask_twin(cells),
            self.drawn: table.spec.key,
        }


_NAMED = ("model", "ratio", "targets", "allocation", "evaluate")
"""Choices that the sentence above a table always gives; the evaluated metric is named with its value."""


def _place(cell: MaskCell) -> tuple[int, int]:
    return CRITERIA.index(cell.criterion), RECONSTRUCTIONS.index(cell.reconstruction)


def _mask_words(spec: PruneSpec, dense: Evaluation | None) -> str:
    removed = f"{100 * spec.ratio:.0f} % of the {choice(spec, 'targets')} removed"
    more = [choice(spec, name) for name in differing([spec, PruneSpec()]) if name not in _NAMED]
    begun = ", ".join([spec.model, removed, f"{spec.allocation} allocation", *more])
    if dense is None:
        return f"{begun}."
    return f"{begun}. The dense model has {measured_words(dense)}."


def _mask_twin(masks: Sequence[MaskCell]) -> str:
    names = ("Criterion", "Reconstruction", "Mean error of the sites", "Metric", "Standard error", "n")
    rows = []
    for mask in masks:
        number = f"{mask.n:,}" if mask.n else ""
        words = (mask.reconstruction, f"{mask.error:.4f}", *(cell_words(mask) or ("not measured", "")), number)
        rows.append(row(mask.criterion, *map(cell, words)))
    return table(names, rows, label="Masks and repairs")
