"""Button, Stop and status line of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.panel import QUEUED, UNQUEUED, Updates
from server.job import Job, Make, Snapshot
from server.job_queue import JobQueue
from server.rate import client_of

Watch = Callable[[Job, gr.Request], Iterator[Updates]]
"""Shows a job in a panel until it ends."""


class JobButton:
    """Button, Stop and status line of a job of the queue, one at a time.

    ``name`` is the id of the button, ``prefix`` begins the keys of its jobs in the queue. ``pieces`` names what such a job
    counts ("runs"), if anything. ``line`` is the status line, either a line that is on the page already or one that is not
    rendered yet.
    """

    def __init__(
        self, jobs: JobQueue, words: str, name: str, prefix: str = "", *, pieces: str = "", line: gr.HTML | None = None
    ) -> None:
        self.jobs, self.prefix, self.pieces = jobs, prefix, pieces
        with gr.Row(elem_id=f"{name}-actions", elem_classes=["work"]) as self.row:
            self.button = gr.Button(words, variant="primary", size="md", scale=2, min_width=180, elem_id=name)
            self.stop = gr.Button("Stop", interactive=False, size="md", min_width=80, elem_id=f"{name}-stop")
        self.status = line or status_line(f"{name}-status")
        if not self.status.is_rendered:
            self.status.render()
        self.job = gr.State("")
        self.stop.click(self.end, self.job, self.stop, trigger_mode="once", **UNQUEUED)
        # Components that are updated at least once a second, and therefore few.
        self.outputs: list[Block] = [self.button, self.stop, self.status, self.job]

    def key_of(self, key: str) -> str:
        """Key of the job about ``key`` in the queue."""
        return f"{self.prefix}{key}"

    def submit(
        self, request: gr.Request, key: str, title: str, make: Make, expected_seconds: float | None = None
    ) -> Job:
        """Start the job about ``key``, or join it; raises :class:`QueueFullError`."""
        session, client = str(request.session_hash), client_of(request)
        return self.jobs.submit(
            session, self.key_of(key), title, make, expected_seconds=expected_seconds, client=client
        )

    def find(self, key: str, request: gr.Request) -> Job | None:
        """The job about ``key``, joined by the session of ``request``; None if there is none that can be joined."""
        job = self.jobs.find(self.key_of(key))
        return job if job is not None and self.jobs.join(job, str(request.session_hash)) else None

    def follow(
        self,
        job: Job,
        request: gr.Request,
        end: Callable[[Snapshot], str],
        *,
        poll: float = 0.25,
        values_wait: bool = True,
    ) -> Iterator[tuple[Snapshot, Updates]]:
        """Yield snapshots, each with the updates of the status line, until the job ends for the visitor of ``request``.

        ``end`` is the final line, for the last snapshot. For ``poll`` and ``values_wait`` see
        :meth:`~server.job_queue.JobQueue.watch`.
        """
        session = str(request.session_hash)
        for snapshot in self.jobs.watch(job, session=session, poll=poll, values_wait=values_wait):
            yield snapshot, self.idle(end(snapshot)) if snapshot.ended else self.at_work(job, snapshot)

    def at_work(self, job: Job, snapshot: Snapshot) -> Updates:
        """Updates while the job goes on: all of the line, since Gradio's page applies only the last of two messages that
        arrive together.
        """
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=not snapshot.stopping),
            self.status: status.follow(job.title, snapshot, self.pieces),
            self.job: job.id,
        }

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


class RememberedJobButton(JobButton):
    """Button of a job that is found again after a reload of the page: the visitor's browser stores the id of the job."""

    def __init__(self, jobs: JobQueue, words: str, name: str, prefix: str, *, pieces: str = "") -> None:
        super().__init__(jobs, words, name, prefix, pieces=pieces)
        self.remembered = gr.BrowserState("", storage_key=f"liar-{name}")
        self.outputs.append(self.remembered)

    def at_work(self, job: Job, snapshot: Snapshot) -> Updates:
        return {**super().at_work(job, snapshot), self.remembered: job.id}

    def resume_with(self, event: Any, watch: Watch, outputs: list[Block]) -> None:
        """After ``event`` (the page has opened), ``watch`` the job that this browser started if it still runs."""

        def resume(id: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from self.resume(watch, id, request)

        event.then(resume, self.remembered, outputs, **QUEUED)

    def resume(self, watch: Watch, id: str | None, request: gr.Request) -> Iterator[Updates]:
        """``watch`` the job ``id`` after a reload of the page; nothing if it has ended or is that of another button."""
        job = self.jobs.get(id or "")
        if job is not None and job.key.startswith(self.prefix) and self.jobs.join(job, str(request.session_hash)):
            yield from watch(job, request)
        else:
            yield {self.status: gr.skip()}


def status_line(id: str, line: str = "", script: str | None = None) -> gr.HTML:
    """Status line that is not on the page yet; ``script`` runs in the browser when it is loaded."""
    return gr.HTML(line, js_on_load=script, elem_id=id, elem_classes=["work-status"], render=False)
