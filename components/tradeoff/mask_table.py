"""Table of every criterion's mask under every reconstruction, computed cell by cell as a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.downloads import Content, Download
from components.shared.job_bodies import loaded_for, measured
from components.shared.job_button import RememberedJobButton
from components.shared.markup import cell, row, table
from components.shared.panel import QUEUED, UNQUEUED, Updates
from components.shared.studio import Bus, Studio
from liar.choices import Criterion, Reconstruction
from liar.errors import LiarError, StorageError
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
from server.job import HandOut, Job, Snapshot

Format = Literal["json", "csv"]

_FILES: dict[Format, str] = {"json": "This table (JSON)", "csv": "This table (CSV)"}

FEW_CRITERIA: list[Criterion] = ["magnitude", "wanda", "fluctuation", "obs", "kfac"]
"""Selected at first; of them kfac alone needs a backward pass, which the default allocation takes anyway."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows, columns and recipe of a table: what its job hands out before the table itself."""

    spec: PruneSpec
    criteria: list[Criterion]
    reconstructions: list[Reconstruction]


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
        self.work = RememberedJobButton(studio.jobs, "Compute the table", "tradeoff-masks", "masks:", pieces="cells")
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

    def wire(self) -> None:
        inputs: list[Block] = [self.bus.spec, self.criteria, self.reconstructions]
        seen: list[Block] = [self.bus.view, self.bus.spec, self.work.job, self.drawn]
        made = self.work.button.click(self.compute, inputs, self.outputs, trigger_mode="once", **QUEUED)
        made.then(self.show_current, seen, self.picture, **UNQUEUED)
        gr.on([self.bus.view.change, self.bus.spec.change], self.show_stored, seen, self.picture, **UNQUEUED)
        for name, button in self.buttons.items():
            self.download.wire(button, partial(self.content, name), self.drawn)

    def resume_with(self, event: Any) -> None:
        """After ``event`` (the opening of the page), watch the table that this browser started, if still running."""
        self.work.resume_with(event, self._watch, self.outputs)

    def show_stored(self, view: View, spec: PruneSpec, id: str, drawn: str) -> Updates:
        """Show the recipe's stored table after a change of tab or recipe, unless a table is being computed."""
        job = self.studio.jobs.get(id)
        at_work = job is not None and not self.studio.jobs.snapshot(job).ended
        if view.tab != "trade-off" or at_work:
            return {self.drawn: gr.skip()}
        table = self.tables.find(spec)
        if table is not None:
            return self._draw(table)
        return self._picture() if drawn else {self.drawn: gr.skip()}

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
        return Content(table.spec, f"-masks.{ending}", as_json(table) if ending == "json" else mask_table_csv(table))

    def compute(
        self, spec: PruneSpec, criteria: list[Criterion], reconstructions: list[Reconstruction], request: gr.Request
    ) -> Iterator[Updates]:
        """Fill the table cell by cell as one job."""
        if not criteria or not reconstructions:
            yield self.work.idle(status.problem("Choose at least one criterion and one reconstruction."))
            return
        rows = [name for name in CRITERIA if name in criteria]
        columns = [name for name in RECONSTRUCTIONS if name in reconstructions]
        asked = Asked(spec, rows, columns)
        title = f"{len(rows)} criteria under {len(columns)} reconstructions"
        key = f"{spec.key}:{','.join(rows)}:{','.join(columns)}"
        try:
            self.studio.profile.check(spec)
            job = self.work.submit(request, key, title, lambda: self._compute(asked))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        yield from self._watch(job, request)

    def _watch(self, job: Job, request: gr.Request) -> Iterator[Updates]:
        drawn: Table | None = None
        for snapshot, line in self.work.follow(job, request):
            updates, table = dict(line), snapshot.latest(Table)
            if table is not None and (table is not drawn or snapshot.ended):
                drawn = table
                updates |= self._draw(table, snapshot.latest(Asked))
            if snapshot.ended:
                updates |= self.work.idle(self._end(snapshot, job.title))
            yield updates

    def _compute(self, asked: Asked) -> Iterator[Progress | HandOut[Asked] | HandOut[Table]]:
        """In the worker: hand out the table as it grows, and store it even if no page is watching."""
        from liar.jobs.mask_table import mask_table_steps
        from liar.runtime.environment import describe

        yield HandOut(asked)
        cells = len(asked.criteria) * len(asked.reconstructions)
        yield Progress("load", 0, cells, f"Loading {asked.spec.model}")
        loaded = loaded_for(self.studio, asked.spec)
        spec = measured(asked.spec, loaded)
        named = spec_of_table(asked.spec)
        table = Table(spec=named, environment=describe(loaded.model)).joined(self.tables.load(named.key))
        with closing(mask_table_steps(spec, asked.criteria, asked.reconstructions, loaded)) as steps:
            for step in steps:
                if isinstance(step, Progress):
                    yield step
                    continue
                new = {"cells": [step]} if isinstance(step, MaskCell) else {"cells": [], "dense": step.evaluation}
                table = table.model_copy(update=new).joined(table)
                with suppress(StorageError):  # reported in the status line at the end
                    self.tables.save(table)
                yield HandOut(table)

    def _end(self, snapshot: Snapshot, title: str) -> str:
        table, kept = snapshot.latest(Table), ""
        if table is not None and self.tables.load(table.spec.key) == table:
            kept = " The address of its recipe brings the table back."
        elif table is not None:
            kept = " It could not be stored and will be gone when this page is."
        return status.end(snapshot, done=f"Done: {title}.{kept}", stopped=f"Stopped. The finished cells stay.{kept}")

    def _draw(self, table: Table, asked: Asked | None = None) -> Updates:
        """Show a table, with empty cells for what its request (``asked``) holds but is not computed yet."""
        rows = {cell.criterion for cell in table.cells} | set(asked.criteria if asked else ())
        columns = {cell.reconstruction for cell in table.cells} | set(asked.reconstructions if asked else ())
        ordered = sorted(table.cells, key=_place)
        heatmap = mask_heatmap(
            ordered,
            [name for name in CRITERIA if name in rows],
            [name for name in RECONSTRUCTIONS if name in columns],
        )
        words = f"<p>{escape(_mask_words(table.spec, table.dense))}</p>"
        return {
            **self._picture(words, _mask_twin(ordered), table.spec.key),
            self.plot: gr.update(value=heatmap, visible=True),
        }

    def _picture(self, words: str = "", twin: str = "", drawn: str = "") -> Updates:
        """All of the picture but the figure itself; hidden unless the table of the key ``drawn`` is shown."""
        shown = gr.update(visible=bool(drawn))
        return {
            self.words: words,
            self.plot: shown,
            self.twin: shown,
            self.table: twin,
            self.files: shown,
            self.problem: "",
            self.drawn: drawn,
        }


_NAMED = ("model", "ratio", "targets", "allocation", "evaluate")
"""Choices that the sentence above a table always gives; the evaluated metric is named with its value."""


def _place(cell: MaskCell) -> tuple[int, int]:
    return CRITERIA.index(cell.criterion), RECONSTRUCTIONS.index(cell.reconstruction)


def _mask_words(spec: PruneSpec, dense: Evaluation | None) -> str:
    more = [choice(spec, name) for name in differing([spec, PruneSpec()]) if name not in _NAMED]
    begun = ", ".join(
        [
            f"{spec.model}, {100 * spec.ratio:.0f} % of the {choice(spec, 'targets')} removed, {spec.allocation} allocation",
            *more,
        ]
    )
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
