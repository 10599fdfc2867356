"""The Apply button: runs a recipe as a job that outlives a reload of the page, and shows its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.explorer import Explorer
from components.panel import HEARD, QUIET, Updates
from components.recipe import Recipe
from components.studio import Bus, Studio
from components.workers import pruning
from liar.errors import LiarError
from liar.report.compare import differing
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec
from server.job import Job
from server.job_queue import TICK
from server.rate import client_of

There = tuple[str, str]
"""Id of a job and what can be drawn of it: "sites", "run" or "" (nothing yet); or the key of a run and "stored"."""

NOTHING: There = ("", "")

_SAME_WORK = {"ratio", "reconstruction", "calibration", "separator", "seed", "edits", "evaluate"}
"""Choices that hardly change how long a run takes."""

# The button is part of the status line, so that the next status removes it.
_AGAIN = """
element.addEventListener('click', (event) => {
  if (event.target.closest('button[data-again]')) trigger('select', {});
});
"""
_ALREADY = (
    '<div role="status" class="note">This recipe is already measured; its stored run is shown. '
    '<button type="button" data-again>Run again</button></div>'
)


class Apply:
    """Button, Stop and status line of one job; what was shown before stays until a result replaces it."""

    def __init__(self, studio: Studio, bus: Bus, recipe: Recipe) -> None:
        self.studio, self.bus, self.recipe = studio, bus, recipe
        with gr.Row():
            self.button = gr.Button("Apply", variant="primary", scale=3, min_width=120, elem_id="apply")
            self.stop = gr.Button("Stop", interactive=False, scale=1, min_width=80, elem_id="stop")
        self.status = gr.HTML("", js_on_load=_AGAIN, elem_id="status")
        self.job = gr.State("")
        self.there = gr.State(NOTHING)

    def wire(self, explorer: Explorer) -> None:
        """Connect the buttons, once the explorer is wired."""
        self.explorer = explorer
        self.button.click(self.apply, self.recipe.inputs, self.line, trigger_mode="once", **HEARD)
        self.status.select(self.again, self.recipe.inputs, self.line, trigger_mode="once", **HEARD)
        self.stop.click(self.end, self.job, self.stop, trigger_mode="once", **QUIET)
        self.there.change(self.show, [self.there, *explorer.seen], explorer.outputs, **HEARD)

    @property
    def line(self) -> list[Block]:
        """Outputs updated every second. Few, since each one takes interpreter time from the thread of the run."""
        return [self.button, self.stop, self.status, self.job, self.there]

    def resume_with(self, event: Any) -> None:
        """After ``event`` (the opening of the page), watch the job of the recipe if there is one."""
        event.then(self.resume, self.bus.spec, self.line, **HEARD)

    # -- events -------------------------------------------------------------------------------------------------

    def apply(self, base: PruneSpec, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Do the run of the current controls, or show it if it is stored; every expected failure ends in one sentence.

        ``request`` stands before ``*values`` because Gradio passes it only there.
        """
        try:
            spec = self.recipe.read(base, *values)
            stored = self.studio.store.find(spec)
        except LiarError as error:
            yield self._idle(status.problem(str(error)))
            return
        if stored is not None:
            yield self._idle(status.running("Drawing the run…"))
            yield {self.status: gr.skip(), self.there: (stored.spec.key, "stored")}
        else:
            yield from self.again(base, request, *values)

    def again(self, base: PruneSpec, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Do the run of the current controls, whether or not it is stored."""
        try:
            spec = self.recipe.read(base, *values)
            job = self.studio.jobs.submit(
                str(request.session_hash),
                spec.key,
                f"Applying the recipe to {spec.model}",
                lambda: pruning(self.studio, spec),
                expected_seconds=self._expected(spec),
                client=client_of(request),
            )
        except LiarError as error:
            yield self._idle(status.problem(str(error)))
            return
        yield from self._watch(job, request)

    def resume(self, spec: PruneSpec, request: gr.Request) -> Iterator[Updates]:
        """Watch the job of the recipe again, if the page was reloaded while it went on."""
        job = self.studio.jobs.find(spec.key)
        if job is None or not self.studio.jobs.join(job, str(request.session_hash)):
            yield {self.status: gr.skip()}
            return
        yield from self._watch(job, request)

    def end(self, id: str, request: gr.Request) -> Updates:
        """Handle Stop. Only :meth:`_watch` writes the status, since its last update may reach the page first."""
        job = self.studio.jobs.get(id)
        if job is not None:
            self.studio.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def leave(self, request: gr.Request) -> None:
        """Leave the jobs of a page that was closed or reloaded; they go on."""
        self.studio.jobs.leave(str(request.session_hash))

    def show(self, there: There, view: View, shown: str, spec: PruneSpec) -> Updates:
        """Draw what the job has so far: the measured sites, and everything once it is done.

        The view is the current one; it may have changed meanwhile. After a stopped job the earlier picture returns.
        """
        id, what = there
        if what == "stored":
            return self._open(id, view, spec)
        job = self.studio.jobs.get(id)
        if job is None:
            return self.explorer.look(view, shown, spec)
        if what == "run":
            return self._finish(self.studio.jobs.snapshot(job).result, view, spec)
        return self.explorer.look(view, shown, spec)

    # -- the job ------------------------------------------------------------------------------------------------

    def _watch(self, job: Job, request: gr.Request) -> Iterator[Updates]:
        yield {**self._busy(job), self.there: NOTHING}
        session = str(request.session_hash)
        for snapshot in self.studio.jobs.watch(job, session=session, poll=TICK, parts_wait=False):
            if not snapshot.ended:
                # Send all of the line each time: if two messages arrive together, Gradio's page applies only the last.
                told: Updates = {
                    **self._busy(job),
                    self.stop: gr.update(interactive=not snapshot.stopping),
                    self.status: status.follow(job.title, snapshot),
                }
                if snapshot.partial:
                    told[self.there] = (job.id, "sites")
                yield told
        if snapshot.state == "done":
            yield {**self._idle(status.running("Drawing the run…")), self.there: (job.id, "run")}
        else:
            yield self._idle(status.end(snapshot, done="", stopped="Stopped. What was shown before is still here."))

    def _expected(self, spec: PruneSpec) -> float | None:
        """Seconds of the last run of this model here; None if its spec differs in more than :data:`_SAME_WORK`."""
        found = self.studio.store.like(spec)
        if found is None or found.saved is None:  # a shipped run was timed on another machine
            return None
        return sum(found.timings.values()) if set(differing([found.spec, spec])) <= _SAME_WORK else None

    def _open(self, key: str, view: View, spec: PruneSpec) -> Updates:
        """Show a stored run, with a button to run it again."""
        result = self.studio.store.load(key)
        if result is None:
            return {self.status: status.problem("The stored run of this recipe is gone; press “Apply” once more.")}
        return {**self.explorer.show_run(result, view, spec), self.status: _ALREADY}

    def _finish(self, result: RunResult, view: View, spec: PruneSpec) -> Updates:
        updates = self.explorer.show_run(result, view, spec)
        updates[self.status] = status.note("Done. The address of this page now holds this run.")
        # The worker could not store the run, or could not replace an older one.
        if self.studio.store.load(result.spec.key) != result:
            try:
                self.studio.store.save(result)
            except LiarError as error:
                updates[self.status] = status.problem(str(error))
        return updates

    def _busy(self, job: Job) -> Updates:
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
            self.status: status.running(f"{job.title}…"),
            self.job: job.id,
        }

    def _idle(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: words,
            self.job: "",
            self.there: NOTHING,
        }
