"""Button, Stop and status line of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.panel import QUEUED, UNQUEUED, Updates
from liar.errors import LiarError
from server.job import Job, Make, Snapshot
from server.job_queue import TICK, JobQueue
from server.rate import client_of

P = ParamSpec("P")

Show = Callable[[Snapshot], Updates]
"""What a panel shows of a job, besides the line."""


class JobButton:
    """Button, Stop and status line of a job of the queue, one at a time.

    ``name`` is the id of the button, ``prefix`` begins the keys of its jobs in the queue. ``last_line`` makes the final line
    of the last snapshot. ``pieces`` names what such a job counts ("runs"), if anything. ``line`` is the status line, either
    a line that is on the page already or one that is not rendered yet. ``at_once``: what a job hands out is shown without
    delay, all else once a second. ``remembered``: the browser stores the id of the job, so that it is found after a reload.
    """

    def __init__(
        self,
        jobs: JobQueue,
        words: str,
        name: str,
        prefix: str = "",
        last_line: Callable[[Snapshot], str] = status.end,
        *,
        pieces: str = "",
        line: gr.HTML | None = None,
        at_once: bool = False,
        remembered: bool = False,
    ) -> None:
        self.jobs, self.prefix, self.pieces, self.last_line, self.at_once = jobs, prefix, pieces, last_line, at_once
        with gr.Row(elem_id=f"{name}-actions", elem_classes=["work"]) as self.row:
            self.button = gr.Button(words, variant="primary", size="md", scale=2, min_width=180, elem_id=name)
            self.stop = gr.Button("Stop", interactive=False, size="md", min_width=80, elem_id=f"{name}-stop")
        self.status = line or status_line(f"{name}-status")
        if not self.status.is_rendered:
            self.status.render()
        self.job = gr.State("")
        self.stop.click(self.end, self.job, self.stop, trigger_mode="once", **UNQUEUED)
        self.remembered = gr.BrowserState("", storage_key=f"liar-{name}") if remembered else self.job
        # Components that are updated at least once a second, and therefore few.
        self.outputs: list[Block] = [self.button, self.stop, self.status, *dict.fromkeys((self.job, self.remembered))]

    def key_of(self, key: str) -> str:
        """Key of the job about ``key`` in the queue."""
        return f"{self.prefix}{key}"

    def run(
        self,
        request: gr.Request,
        key: str,
        title: str,
        make: Make,
        show: Show = lambda _: {},
        expected_seconds: float | None = None,
    ) -> Iterator[Updates]:
        """Start the job about ``key``, or join it, and watch it; raises :class:`QueueFullError`."""
        session, client = str(request.session_hash), client_of(request)
        job = self.jobs.submit(session, self.key_of(key), title, make, expected_seconds=expected_seconds, client=client)
        yield from self.watch(job, request, show)

    def watch(self, job: Job, request: gr.Request, show: Show) -> Iterator[Updates]:
        """Updates of the line and of the panel, until the job ends for the visitor of ``request``.

        Each has all of the line, since Gradio's page applies only the last of two messages that arrive together.
        """
        poll, session = TICK if self.at_once else 0.25, str(request.session_hash)
        for snapshot in self.jobs.watch(job, session=session, poll=poll, values_wait=not self.at_once):
            line: Updates
            if snapshot.ended:
                line = self.idle(self.last_line(snapshot))
            else:
                line = {
                    self.button: gr.update(interactive=False),
                    self.stop: gr.update(interactive=not snapshot.stopping),
                    self.status: status.follow(snapshot, self.pieces),
                    **dict.fromkeys((self.job, self.remembered), snapshot.id),
                }
            yield {**line, **show(snapshot)}

    def resume(
        self, job: Job | None, request: gr.Request, show: Show, otherwise: Updates | None = None
    ) -> Iterator[Updates]:
        """Watch ``job`` after a reload of the page; ``otherwise`` if it has ended or is that of another button."""
        if job is not None and job.key.startswith(self.prefix) and self.jobs.join(job, str(request.session_hash)):
            yield from self.watch(job, request, show)
        else:
            yield otherwise or {self.status: gr.skip()}

    def resume_with(self, event: Any, outputs: list[Block], show: Show = lambda _: {}) -> None:
        """After ``event`` (the page has opened), watch the job that this browser remembers, if it still runs."""

        def resume(id: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from self.resume(self.jobs.get(id), request, show)

        event.then(resume, self.remembered, outputs, **QUEUED)

    def end(self, id: str, request: gr.Request) -> Updates:
        """Handle Stop. Only the watcher of the job writes the status, since its last update may reach the page first."""
        job = self.jobs.get(id)
        if job is not None:
            self.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def idle(self, line: str) -> Updates:
        """Updates after the job, with the HTML of the final line."""
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: line,
        }


def in_one_sentence(
    handler: Callable[Concatenate[Any, P], Iterator[Updates]],
) -> Callable[Concatenate[Any, P], Iterator[Updates]]:
    """Event handler of a panel with a :class:`JobButton` ``work``: an expected failure ends in one sentence on its line."""

    @wraps(handler)
    def handle(panel: Any, /, *values: P.args, **named: P.kwargs) -> Iterator[Updates]:
        try:
            yield from handler(panel, *values, **named)
        except LiarError as error:
            yield panel.work.idle(status.problem(str(error)))

    return handle


def status_line(id: str, script: str | None = None) -> gr.HTML:
    """Status line that is not on the page yet; ``script`` runs in the browser when it is loaded."""
    return gr.HTML("", js_on_load=script, elem_id=id, elem_classes=["work-status"], render=False)
