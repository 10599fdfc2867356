"""Size and speed of the dense and the reconstructed model of a run, measured as a job."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block

from components.shared.job_bodies import stored, with_models
from components.shared.job_button import JobButton, in_one_sentence
from components.shared.markup import cell, row, table
from components.shared.panel import QUEUED, UNQUEUED, Updates
from liar.events import Progress
from liar.report.costs import CostsResult
from liar.report.words.cost_sentences import rows, sentences
from liar.results import RunResult
from server.job import Snapshot

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.shared.studio import Bus, Studio
    from liar.models.variants import Variants


class CostsPanel:
    """Button, and the table that it fills; models that are no longer in memory are pruned again."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>Size and speed</h3><p>The dense model and the reconstructed one do the same work in turns, so that a slow "
            "spell of this machine hits both.</p>",
            elem_classes=["caption"],
        )
        self.work = JobButton(studio.jobs, "Measure size and speed", "costs-measure", "costs:")
        self.table = gr.HTML("", elem_id="costs", elem_classes=["runs-table"])
        self.outputs: list[Block] = [*self.work.outputs, self.table]

    def wire(self, opened: Any) -> None:
        """Connect the parts; after ``opened`` (the opening of the page), watch the job of the run shown, if there is one."""
        self.work.button.click(self.measure, self.bus.shown, self.outputs, trigger_mode="once", **QUEUED)
        self.bus.shown.change(self.change_run, [self.work.job, self.bus.shown], self.outputs, **UNQUEUED)
        opened.then(self.resume, self.bus.shown, self.outputs, **QUEUED)

    # -- events -------------------------------------------------------------------------------------------------

    @in_one_sentence
    def measure(self, key: str, request: gr.Request) -> Iterator[Updates]:
        """Start a job that measures both models of the run ``key``, and watch it."""
        result = stored(self.studio, key)
        yield from self.work.run(request, key, "Measuring size and speed", lambda: self._measure(result), self._show)

    def resume(self, key: str, request: gr.Request) -> Iterator[Updates]:
        """Watch the job of a reloaded page if it has not ended, else show its table."""
        job = self.studio.jobs.find(self.work.key_of(key))
        yield from self.work.resume(job, request, self._show, {self.table: self._known(key)})

    def change_run(self, id: str, key: str, request: gr.Request) -> Updates:
        """Show the table of another run, if it is known, and stop the job of the former run."""
        job = self.studio.jobs.get(id)
        if job is not None and job.key == self.work.key_of(key):
            return {self.table: gr.skip()}
        self.work.end(id, request)
        return {**self.work.idle(""), self.work.job: "", self.table: self._known(key)}

    # -- the job ------------------------------------------------------------------------------------------------

    def _show(self, snapshot: Snapshot) -> Updates:
        updates: Updates = {self.work.job: ""} if snapshot.ended else {}
        return {**updates, self.table: costs_table(snapshot.result)} if snapshot.state == "done" else updates

    def _known(self, key: str) -> str:
        """Table of a run that was measured recently, else ""."""
        job = self.studio.jobs.find(self.work.key_of(key))
        return costs_table(job.facts.result) if job and job.facts.result else ""

    def _measure(self, run: RunResult) -> Generator[Progress, None, CostsResult]:
        """Measure in the worker; the models are looked up here, since a waiting job must not keep them in memory."""
        return (yield from with_models(self.studio, run, _in_turns, lambda estimate: estimate.turns()))


def _in_turns(variants: Variants) -> Generator[Progress, None, CostsResult]:
    from liar.evaluate.timing.size_and_speed import compare_steps
    from liar.progress import Pace, Part
    from liar.runtime.environment import readable_failures

    pace = Pace([Part("turns", 1.0)])
    with readable_failures(), variants.using("dense") as dense, variants.using("reconstructed") as pruned:
        steps = compare_steps(dense, pruned)
        return (yield from pace.along("turns", steps, "evaluate", "Both models work in turns"))


def costs_table(result: CostsResult) -> str:
    """HTML table of every cost with its unit, and sentences that sum it up."""
    figures = (row(name, *(cell(_together(words)) for words in values)) for name, *values in rows(result))
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(result))
    return (
        table(("Cost", "Dense", "Reconstructed", "Change"), figures, label="Size and speed of both models")
        + f"<p>Speeds are medians of {result.repeats} turns with their quartiles, on {escape(_machine(result))}.</p>"
        f"<ul>{items}</ul>"
    )


def _together(words: str) -> str:
    """Keep a figure with its unit and the quartiles together; a line may break only before the quartiles."""
    return words.replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}(", " (")


def _machine(result: CostsResult) -> str:
    found = result.environment
    where = found.get("device_name", "this machine")
    return f"{where} with {found['threads']} threads" if found.get("device") == "cpu" else where
