"""The button "Measure it": runs a recipe as a job that outlives a reload of the page, and shows its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import gradio as gr
from gradio.blocks import Block

from components.explorer import Explorer
from components.rail.recipe import Recipe
from components.shared import status
from components.shared.browser import button_clicks
from components.shared.job_bodies import pruning
from components.shared.job_button import JobButton, in_one_sentence, status_line
from components.shared.panel import QUEUED, Updates
from components.shared.studio import Bus, Studio
from liar.errors import LiarError
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import differing
from server.job import Snapshot


class Drawing(NamedTuple):
    """What to draw next: the ``number`` values that a job ``id`` handed out, its run, or the stored run of the key ``id``."""

    what: Literal["nothing", "sites", "run", "stored"] = "nothing"
    id: str = ""
    number: int = 0


_DRAWING = status.running("Drawing the run…")

_SAME_WORK = {"ratio", "reconstruction", "calibration", "separator", "seed", "edits", "evaluate"}
"""Choices that hardly change how long a run takes."""

# The button is part of the status line, so that the next status removes it.
_ALREADY = (
    '<div role="status" class="note">This recipe is already measured; its stored run is shown. '
    '<button type="button" data-again>Run again</button></div>'
)


class Apply:
    """Button of the run of a recipe; what was shown before stays until a result replaces it."""

    def __init__(self, studio: Studio, bus: Bus, recipe: Recipe) -> None:
        self.studio, self.bus, self.recipe = studio, bus, recipe
        # The keys of runs have no prefix, since panels look up the job of a recipe.
        line = status_line("status", script=button_clicks("again"))
        self.work = JobButton(studio.jobs, "Measure it", "apply", last_line=_end, line=line, at_once=True)
        self.drawing = gr.State(Drawing())
        # Components updated every second. Few, since each one takes interpreter time from the thread of the run.
        self.outputs: list[Block] = [*self.work.outputs, self.drawing]

    def wire(self, explorer: Explorer, opened: Any) -> None:
        """Connect the buttons, once the explorer is wired; after ``opened`` (the opening of the page), watch the job of the
        recipe if there is one.
        """
        self.explorer = explorer
        inputs: list[Block] = [self.bus.spec, *self.recipe.controls.values()]
        self.work.button.click(self.apply, inputs, self.outputs, trigger_mode="once", **QUEUED)
        self.work.status.select(self.rerun, inputs, self.outputs, trigger_mode="once", **QUEUED)
        self.drawing.change(self.show, [self.drawing, *explorer.seen], explorer.outputs, **QUEUED)
        opened.then(self.resume, self.bus.spec, self.outputs, **QUEUED)

    # -- events -------------------------------------------------------------------------------------------------

    @in_one_sentence
    def apply(self, base: PruneSpec, request: gr.Request, *values: Any, again: bool = False) -> Iterator[Updates]:
        """Do the run of the current controls, or show it if it is stored and not asked for ``again``; every expected failure
        ends in one sentence.

        ``request`` stands before ``*values`` because Gradio passes it only there.
        """
        spec = self.recipe.read(base, *values)
        stored = None if again else self.studio.store.find(spec)
        if stored is None:
            title, seconds = f"Measuring {spec.model}", self._expected(spec)
            yield from self.work.run(request, spec.key, title, lambda: pruning(self.studio, spec), self._show, seconds)
        else:
            yield {**self.work.idle(_DRAWING), self.drawing: Drawing()}  # so that the same run changes the state
            yield {self.work.status: gr.skip(), self.drawing: Drawing("stored", stored.spec.key)}

    def rerun(self, base: PruneSpec, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Do the run of the current controls, whether or not it is stored."""
        yield from self.apply(base, request, *values, again=True)

    def resume(self, spec: PruneSpec, request: gr.Request) -> Iterator[Updates]:
        """Watch the job of the recipe again, if the page was reloaded while it went on."""
        yield from self.work.resume(self.studio.jobs.find(spec.key), request, self._show)

    def leave(self, request: gr.Request) -> None:
        """Leave the jobs of a page that was closed or reloaded; they go on."""
        self.studio.jobs.leave(str(request.session_hash))

    def show(self, drawing: Drawing, view: View, shown: str, spec: PruneSpec) -> Updates:
        """Draw what the job has so far: the measured sites, then each metric, and all once it is done; or a stored run.

        The view is the current one; it may have changed meanwhile. After a stopped job the earlier picture returns.
        """
        what, id, _ = drawing
        if what == "stored":
            result, line = self.studio.store.load(id), _ALREADY
            if result is None:
                return {
                    self.work.status: status.problem(
                        "The stored run of this recipe is gone; press “Measure it” once more."
                    )
                }
        else:
            job = self.studio.jobs.get(id) if what == "run" else None
            if job is None:
                return self.explorer.redraw(view, shown, spec)
            result = job.facts.result
            line = self._kept(result)
        return {**self.explorer.show(result.spec, view, spec), self.work.status: line}

    def _kept(self, result: RunResult) -> str:
        """Line at the end of a run. It is stored here if the worker could not, or could not replace an older one."""
        try:
            if self.studio.store.load(result.spec.key) != result:
                self.studio.store.save(result)
        except LiarError as error:
            return status.problem(str(error))
        return status.note("Done. The address of this page now holds this run.")

    # -- the job ------------------------------------------------------------------------------------------------

    def _show(self, snapshot: Snapshot) -> Updates:
        if snapshot.state == "done":
            return {self.drawing: Drawing("run", snapshot.id)}
        number = 0 if snapshot.ended else len(snapshot.handed_out)
        return {self.drawing: Drawing("sites", snapshot.id, number) if number else Drawing()}

    def _expected(self, spec: PruneSpec) -> float | None:
        """Seconds of the last run of this model here; None if its spec differs in more than :data:`_SAME_WORK`."""
        found = self.studio.store.like(spec)
        if found is None or found.saved is None:  # a shipped run was timed on another machine
            return None
        return sum(found.timings.values()) if set(differing([found.spec, spec])) <= _SAME_WORK else None


def _end(snapshot: Snapshot) -> str:
    stopped = "Stopped. What was shown before is still here."
    return _DRAWING if snapshot.state == "done" else status.end(snapshot, done="", stopped=stopped)
