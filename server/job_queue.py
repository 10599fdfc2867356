"""Queue of the server's jobs: one worker thread runs them, and pages only watch.

Reloading or closing a page ends its event handlers, but not its jobs. One worker takes one job at a time, since all
share one accelerator and one memory. Sessions take turns, so a visitor with several jobs does not hold up the others.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from threading import Condition, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from liar.errors import LiarError
from liar.events import Event, Finished, Progress
from server.fair_queue import Line
from server.job import Job, Make, Snapshot, State
from server.rate import Rate

log = logging.getLogger(__name__)

KEPT_JOBS = 50
KEPT_SECONDS = 30 * 60.0
USUAL_SECONDS = 30.0
"""Length of a job without an estimate, before any job is done."""

TICK = 1.0
"""Seconds after which a watcher gets a new snapshot even if nothing has changed."""


class JobQueue:
    """Queue with one worker thread, started by the first job. Every method may be called from any thread.

    ========  ==============================================  ==========
    state     event                                           next state
    ========  ==============================================  ==========
    (none)    submitted, and no job of the key can be joined  waiting
    waiting   taken by the worker                             running
    waiting   given up                                        stopped
    running   given up                                        stopping
    running   the generator returns                           done
    running   the generator raises                            failed
    stopping  the generator returns                           done
    stopping  the generator yields and is closed, or raises   stopped
    ========  ==============================================  ==========

    A job is given up by :meth:`close`, or by a :meth:`stop` after which no owner with an open page is left. It can be
    joined while it is waiting or running. In a snapshot, *stopping* is "running" with ``stopping`` set.

    ``rate`` limits how often one session and one address may start a job.
    ``on_finished`` is called in the worker with each :class:`~liar.events.Finished`, before the queue drops all of the event
    but ``result``: the event may hold whole models.
    """

    def __init__(
        self,
        max_waiting: int = 16,
        *,
        rate: Rate | None = None,
        on_finished: Callable[[Finished], None] = lambda _: None,
    ) -> None:
        self._on_finished = on_finished
        self._rate = rate or Rate()
        self._changed = Condition()
        self._line = Line(max_waiting)
        self._running: Job | None = None
        self._ended: list[Job] = []  # in the order they ended
        self._worker: Thread | None = None
        self._closed = False

    # -- for pages ----------------------------------------------------------------------------------------------

    def submit(
        self,
        session: str,
        key: str,
        title: str,
        make: Make,
        *,
        expected_seconds: float | None = None,
        client: str = "",
    ) -> Job:
        """Put a job in line, or join the waiting or running job of the same ``key``, which ``session`` then owns too.

        ``make`` is called in the worker and returns a generator. Progress that it yields becomes
        :attr:`Snapshot.event`, other events are not kept, and any other value is appended to
        :attr:`Snapshot.handed_out`. The result is the generator's return value or, if that is None, that of its last Finished.

        Raises :class:`QueueFullError` if the session has three jobs waiting, the queue has ``max_waiting``, or the session
        or its address ``client`` has started too many.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("The queue is closed.")
            job = next((job for job in self._live() if job.key == key and not job.stopping), None)
            if job is None:
                self._line.check_room(session)
                self._rate.spend(session, client)
                job = Job(key, make, expected_seconds, Snapshot(uuid4().hex, title))
                self._line.waiting.append(job)
            self.join(job, session)
            self._notify(*self._line.waiting)
            if self._worker is None:
                self._worker = Thread(target=self._work, name="jobs", daemon=True)
                self._worker.start()
            return job

    def join(self, job: Job, session: str) -> bool:
        """Make ``session`` an owner of ``job``, as after a reload; False if the job has ended or is stopping."""
        with self._changed:
            if job.ended is not None or job.stopping:
                return False
            self._line.enter(session)
            job.owners.add(session)
            return True

    def find(self, key: str) -> Job | None:
        """The waiting or running job of ``key``, else the one that ended last, else None.

        Ended jobs are kept for 30 minutes, and no more than 50 of them.
        """
        return next((job for job in self._kept() if job.key == key), None)

    def get(self, id: str | None) -> Job | None:
        """The job of this ``id``, None if there is none or it is no longer kept."""
        return next((job for job in self._kept() if job.facts.id == id), None)

    def snapshot(self, job: Job) -> Snapshot:
        """Current state of ``job``."""
        with self._changed:
            ahead: list[Job] = []
            seconds_left = job.seconds_left
            if job.facts.state == "waiting":
                order = [*([self._running] if self._running else []), *self._line.order()]
                ahead = order[: order.index(job)]
                seconds_left = self._sum_left([*ahead, job])
            return replace(
                job.facts,
                place=len(ahead),
                seconds_left=seconds_left,
                seconds=job.seconds,
                stopping=job.stopping and job.ended is None,
            )

    def watch(self, job: Job, *, session: str = "", poll: float = 0.25, values_wait: bool = True) -> Iterator[Snapshot]:
        """Snapshots of ``job``: one at once, one after each change, and a last one at its end.

        If ``session`` has stopped the job, the last state is "stopped", or "left" if it goes on for another visitor.

        Snapshots come at least ``poll`` seconds and at most one second apart, so that the time shown moves on. The last
        one comes without delay, as do values that the job hands out, unless ``values_wait``. Closing the iterator does
        not stop the job.
        """
        seen = 0
        while True:
            with self._changed:
                snapshot = self.snapshot(job)
                if session and session not in job.owners and (snapshot.ended or not job.stopping):
                    # A visitor who pressed Stop gets no result, even if the job still finishes.
                    state: State = "stopped" if job.stopping else "left"
                    snapshot = replace(snapshot, state=state, seconds_left=None, result=None, error=None)
            yield replace(snapshot, news=snapshot.ended or len(snapshot.handed_out) > seen)
            if snapshot.ended:
                return
            seen = len(snapshot.handed_out)
            self._pause(job, snapshot, poll, values_wait)

    def stop(self, job: Job, session: str) -> None:
        """Remove ``session`` from the owners of ``job``, and stop the job if no owner with an open page is left.

        A waiting job is stopped at once. A running one ends at its next yield: its generator is closed in the worker,
        and the values handed out stay.
        """
        with self._changed:
            if session in job.owners:
                job.owners.discard(session)
                if job.owners <= job.absent and job.ended is None:
                    self._give_up(job)
                self._notify(job)

    def leave(self, session: str) -> None:
        """Note that ``session`` has closed its page: its jobs go on, and another session that joins one may stop it."""
        with self._changed:
            for job in self._live():
                if session in job.owners:
                    job.absent.add(session)

    def close(self) -> None:
        """Stop every job and end the worker, waiting at most ten seconds for the current step."""
        with self._changed:
            self._closed = True
            for job in self._live():
                self._give_up(job)
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(timeout=10)

    def _pause(self, job: Job, seen: Snapshot, poll: float, values_wait: bool) -> None:
        """Wait until the snapshot after ``seen`` is due: at a change, or after :data:`TICK`."""

        def cannot_wait() -> bool:
            return job.ended is not None or (not values_wait and len(job.facts.handed_out) > len(seen.handed_out))

        with self._changed:
            begin = monotonic()
            self._changed.wait_for(cannot_wait, poll)
            left = TICK - (monotonic() - begin)
            self._changed.wait_for(lambda: job.facts.version != seen.version, max(left, 0.0))

    # -- the line (called with the lock held) -------------------------------------------------------------------

    def _live(self) -> list[Job]:
        return [*self._line.waiting, *([self._running] if self._running else [])]

    def _kept(self) -> list[Job]:
        """The jobs that have not ended, then the others, from the one that ended last."""
        with self._changed:
            self._drop_expired()
            return [*self._live(), *reversed(self._ended)]

    def _give_up(self, job: Job) -> None:
        job.stopping = True
        if job in self._line.waiting:
            self._line.waiting.remove(job)
            self._end(job, state="stopped")

    def _end(self, job: Job, **facts: Any) -> None:
        job.ended, job.make = monotonic(), None
        job.change(**facts)
        if self._running is job:
            self._running = None
        self._ended.append(job)
        self._drop_expired()
        self._notify(*self._line.waiting)

    def _drop_expired(self) -> None:
        oldest = monotonic() - KEPT_SECONDS
        self._ended = [job for job in self._ended[-KEPT_JOBS:] if job.ended is not None and job.ended >= oldest]

    def _notify(self, *jobs: Job, **facts: Any) -> None:
        """Change ``facts`` of ``jobs``, or only their version, and wake those who watch."""
        with self._changed:
            for job in jobs:
                job.change(**facts)
            self._changed.notify_all()

    def _sum_left(self, jobs: list[Job]) -> float:
        """Seconds that ``jobs`` take in turn; one without an estimate takes what the jobs before it took."""
        took = [job.seconds for job in self._ended if job.facts.state == "done"]
        usual = median(took) if took else USUAL_SECONDS
        return sum(max(usual - job.seconds, 0.0) if job.seconds_left is None else job.seconds_left for job in jobs)

    # -- the worker ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._do_next():
            gc.collect()

    def _do_next(self) -> bool:
        """Wait for a job and run it; False if the queue is closed. Afterwards no reference to the job is kept."""
        with self._changed:
            self._changed.wait_for(lambda: self._line.waiting or self._closed)
            if not self._line.waiting:
                return False
            job = self._running = self._line.take()
            job.started = monotonic()
            job.change(state="running")
            self._notify(*self._line.waiting)
        facts = self._outcome(job)
        with self._changed:
            self._end(job, **facts)
        return True

    def _outcome(self, job: Job) -> dict[str, Any]:
        """Run the job; the facts of its end."""
        try:
            return self._drive(job)
        except LiarError as failure:
            error = str(failure)
        except MemoryError:
            error = "Memory ran out; take fewer calibration tokens, a shorter sequence length or a smaller model."
        except BaseException:  # SystemExit too: no job may end the worker
            log.exception("The job %r failed in a way that LIAR does not know", job.facts.title)
            error = "The job failed unexpectedly; the log of the server has more."
        return {"state": "stopped"} if job.stopping else {"state": "failed", "error": error}

    def _drive(self, job: Job) -> dict[str, Any]:
        """Run the job's generator to its end, or until the job is stopped."""
        assert job.make is not None, "a job is taken once"
        steps, result = job.make(), None
        try:
            while not job.stopping:
                try:
                    step = next(steps)
                except StopIteration as end:
                    return {"state": "done", "result": result if end.value is None else end.value}
                if isinstance(step, Progress):
                    share = job.facts.share if step.share is None else max(job.facts.share or 0.0, step.share)
                    self._notify(job, event=step, share=share)
                elif isinstance(step, Finished):
                    result = step.result
                    self._pass_on(step)
                elif not isinstance(step, Event):
                    self._notify(job, handed_out=[*job.facts.handed_out, step])
                del step  # a Finished may hold models, and the next step may take long
            return {"state": "stopped"}
        finally:
            if close := getattr(steps, "close", None):
                close()

    def _pass_on(self, finished: Finished) -> None:
        try:
            self._on_finished(finished)
        except Exception:  # an error of the callback must not lose the result
            log.exception("A finished job could not be passed on")
