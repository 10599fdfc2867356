"""Button, Stop and status line of a job, which is found again after a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.panel import HEARD, QUIET, Updates
from liar.results import RunResult
from server.job import Job, Snapshot
from server.job_queue import JobQueue
from server.rate import client_of

Watch = Callable[[Job, gr.Request], Iterator[Updates]]
"""Shows a job in a panel until it ends."""


class JobButton:
    """Button, Stop and status line of one job of the queue; the visitor's browser stores the id of the job.

    ``kind`` distinguishes its jobs from those of other buttons; ``pieces`` names what such a job counts ("runs"), if anything.
    """

    def __init__(self, jobs: JobQueue, words: str, name: str, kind: str, pieces: str = "") -> None:
        self.jobs, self.kind, self.pieces = jobs, kind, pieces
        with gr.Row(elem_classes=["work"]):
            self.button = gr.Button(words, variant="primary", size="md", scale=2, min_width=180, elem_id=name)
            self.stop = gr.Button("Stop", interactive=False, size="md", min_width=80, elem_id=f"{name}-stop")
        self.status = gr.HTML("", elem_id=f"{name}-status", elem_classes=["work-status"])
        self.job = gr.State("")
        self.remembered = gr.BrowserState("", storage_key=f"liar-{name}")

    @property
    def outputs(self) -> list[Block]:
        return [self.button, self.stop, self.status, self.job, self.remembered]

    def wire(self) -> None:
        self.stop.click(self.end, self.job, self.stop, trigger_mode="once", **QUIET)

    def key_of(self, key: str) -> str:
        """Key of the job about ``key`` in the queue."""
        return f"{self.kind}:{key}"

    def submit(self, request: gr.Request, key: str, title: str, make: Callable[[], Iterator[Any]]) -> Job:
        return self.jobs.submit(
            str(request.session_hash), self.key_of(key), title, make, kind=self.kind, client=client_of(request)
        )

    def resume_with(self, event: Any, watch: Watch, outputs: list[Block]) -> None:
        """After ``event`` (the page has opened), ``watch`` the job that this browser started if it still runs."""

        def resume(id: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from self.resume(watch, id, request)

        event.then(resume, self.remembered, outputs, **HEARD)

    def resume(self, watch: Watch, id: str | None, request: gr.Request) -> Iterator[Updates]:
        """``watch`` the job ``id`` after a reload of the page; nothing if it has ended."""
        job = self.jobs.get(id or "")
        if job is None or job.kind != self.kind or not self.jobs.join(job, str(request.session_hash)):
            yield {self.status: gr.skip()}
        else:
            yield from watch(job, request)

    def follow(self, job: Job, request: gr.Request) -> Iterator[tuple[Snapshot, Updates]]:
        """Yield snapshots, each with the updates of the status line, until the job ends for the visitor of ``request``.

        The last snapshot has no updates: the caller writes the final line.
        """
        # Every update holds the whole line: of two messages that arrive together, Gradio's page applies only the last.
        line: Updates = {**self.busy(""), self.job: job.id, self.remembered: job.id}
        for snapshot in self.jobs.watch(job, session=str(request.session_hash)):
            words = status.follow(job.title, snapshot, self.pieces)
            still: Updates = {self.status: words, self.stop: gr.update(interactive=not snapshot.stopping)}
            yield snapshot, {} if snapshot.ended else {**line, **still}

    def handed_out(self, id: str) -> list[RunResult]:
        """Runs of a sweep that are there."""
        job = self.jobs.get(id)
        return [item for item in self.jobs.snapshot(job).partial if isinstance(item, RunResult)] if job else []

    def end(self, id: str, request: gr.Request) -> Updates:
        """Stop was pressed. The line is the watcher's alone: its last words may reach the page before this answer."""
        job = self.jobs.get(id)
        if job is not None:
            self.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def busy(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
            self.status: status.running(words),
        }

    def idle(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: words,
        }
