"""The jobs of the server: work goes on in a thread of its own, and pages only watch.

A page that is reloaded or closed ends its event handlers; a job does not care. One worker takes one job at a time, since
there is one accelerator and one memory. Sessions take turns, so nobody waits behind all five jobs of somebody else.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from threading import Condition, Thread
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

from liar.errors import LiarError, QueueFullError
from liar.events import Event, Finished, Progress

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "stopped", "failed"]
Make = Callable[[], Iterator[Any]]

WAITING_PER_SESSION = 3
KEPT_JOBS = 50
KEPT_SECONDS = 30 * 60.0
TICK = 1.0
"""Seconds after which a watcher is told the time again although nothing happened."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job as it stood at one moment.

    ``place`` is how many jobs come before it, the one at work included; 0 once it runs. ``event`` is the latest event
    but :class:`~liar.events.Finished`. ``seconds_left`` is an estimate up to the end of the job, the wait included; None
    while nothing is known, and once it ended. ``result`` is there when ``state`` is "done"; ``partial``, what the job has
    handed out so far, stays whatever the end; ``error`` is one sentence when ``state`` is "failed". ``seconds`` is how long
    it has run. ``version`` grows with every change.
    """

    state: State
    place: int
    event: Event | None
    seconds_left: float | None
    result: Any
    partial: list[Any]
    error: str | None
    seconds: float
    version: int

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")


class Job:
    """A handle: ``id``, ``key``, ``title``, ``kind`` and ``created`` are for everybody, the rest is the queue's."""

    def __init__(
        self, session: str, key: str, title: str, kind: str, make: Make, expected_seconds: float | None
    ) -> None:
        self.id = uuid4().hex
        self.key, self.title, self.kind = key, title, kind
        self.created = datetime.now(UTC)
        self._owners = {session}
        self._left: set[str] = set()  # owners whose page is closed: their job goes on, but need not be theirs for ever
        self._make: Make | None = make
        self._expected_seconds = expected_seconds
        self._state: State = "waiting"
        self._stopping = False
        self._started: float | None = None
        self._ended: float | None = None
        self._event: Event | None = None
        self._event_time = 0.0
        self._result: Any = None
        self._partial: list[Any] = []
        self._error: str | None = None
        self._version = 0


class JobQueue:
    """One worker for the whole server, started by the first job. Every method may be called from any thread.

    ``on_finished`` is called in the worker with the key of the job and each :class:`~liar.events.Finished`, before the
    queue drops all of it but ``result``: the event may hold whole models.
    """

    def __init__(self, max_waiting: int = 16, *, on_finished: Callable[[str, Finished], None] | None = None) -> None:
        self.max_waiting = max_waiting
        self._on_finished = on_finished
        self._changed = Condition()
        self._waiting: list[Job] = []  # in the order they came
        self._running: Job | None = None
        self._ended: list[Job] = []  # in the order they ended
        self._clock = 0
        self._turns: dict[str, int] = {}  # when each session last had its turn; the least is next
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
        kind: str = "apply",
        expected_seconds: float | None = None,
    ) -> Job:
        """Put a job in line; one that waits or runs under the same ``key`` is joined, and ``session`` owns it too.

        ``make`` is called in the worker and returns a generator. An event that it yields is what :attr:`Snapshot.event`
        shows; anything else is appended to :attr:`Snapshot.partial` and outlives a stop or a failure. The result is the
        value that the generator returns, else (None) that of its last Finished.

        Raises :class:`QueueFullError` when the session has three jobs waiting, or the queue ``max_waiting``.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("The queue is closed.")
            self._forget()
            job = next((job for job in self._live() if job.key == key and not job._stopping), None)
            if job is None:
                self._check_room(session)
                self._enter(session)
                job = Job(session, key, title, kind, make, expected_seconds)
                self._waiting.append(job)
            else:
                self._enter(session)
                job._owners.add(session)
            self._say(*self._waiting)
            if self._worker is None:
                self._worker = Thread(target=self._work, name="jobs", daemon=True)
                self._worker.start()
            return job

    def find(self, key: str) -> Job | None:
        """The job that waits or runs under ``key``, else the one that ended last; None once that is forgotten.

        Ended jobs are kept for 30 minutes, and no more than 50 of them.
        """
        with self._changed:
            self._forget()
            return next((job for job in [*self._live(), *reversed(self._ended)] if job.key == key), None)

    def get(self, id: str) -> Job | None:
        """The job of this ``id``; None for one that never was or is forgotten."""
        with self._changed:
            self._forget()
            return next((job for job in [*self._live(), *self._ended] if job.id == id), None)

    def snapshot(self, job: Job) -> Snapshot:
        """``job`` as it stands."""
        with self._changed:
            return self._snapshot(job)

    def watch(self, job: Job, *, poll: float = 0.25) -> Iterator[Snapshot]:
        """Snapshots of ``job``: one at once, then one whenever something changed, and a last one when it ended.

        They come no faster than one in ``poll`` seconds (but the last one, which never waits), and no slower than one in a
        second, so that the time shown moves on. Closing the iterator leaves the job alone.
        """
        while True:
            with self._changed:
                snapshot = self._snapshot(job)
            yield snapshot
            if snapshot.ended:
                return
            self._pause(job, snapshot.version, poll)

    def stop(self, job: Job, session: str) -> None:
        """``session`` no longer wants ``job``; with nobody left to want it, it is stopped.

        A waiting job is stopped at once. A running one ends at its next yield: its generator is closed in the worker, and
        what it has handed out stays in ``partial``.
        """
        with self._changed:
            if session not in job._owners:
                return
            job._owners.discard(session)
            if job._owners <= job._left and job._ended is None:
                self._abandon(job)

    def leave(self, session: str) -> None:
        """The page of ``session`` was closed or loaded anew: its jobs go on, and whoever comes back to one may stop it."""
        with self._changed:
            for job in self._live():
                if session in job._owners:
                    job._left.add(session)

    def close(self) -> None:
        """Stop every job and end the worker; waits ten seconds at most for the step at work."""
        with self._changed:
            self._closed = True
            for job in self._live():
                self._abandon(job)
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(timeout=10)

    def _pause(self, job: Job, seen: int, poll: float) -> None:
        """Wait until there is something to show after version ``seen``, or the time has moved on."""
        with self._changed:
            begin = monotonic()
            self._changed.wait_for(lambda: job._ended is not None, poll)
            left = TICK - (monotonic() - begin)
            self._changed.wait_for(lambda: job._version != seen, max(left, 0.0))

    # -- the line (called with the lock held) -------------------------------------------------------------------

    def _live(self) -> list[Job]:
        return [*self._waiting, *([self._running] if self._running else [])]

    def _check_room(self, session: str) -> None:
        if sum(session in job._owners for job in self._waiting) >= WAITING_PER_SESSION:
            raise QueueFullError(
                f"You have {WAITING_PER_SESSION} jobs waiting, which is the most for one visitor; stop one of them, or try "
                "again when one has started."
            )
        if len(self._waiting) >= self.max_waiting:
            raise QueueFullError(
                f"{self.max_waiting} jobs are waiting, which is the most that this server takes; try again in a few minutes."
            )

    def _enter(self, session: str) -> None:
        """A session with nothing in line comes after all that wait, but before the next job of the one being served."""
        if not any(session in job._owners for job in self._waiting):
            self._turns[session] = max(self._turns.get(session, 0), self._clock - 1)

    def _order(self) -> list[Job]:
        """The waiting jobs as they would be taken if nothing else came."""
        left, turns, clock = list(self._waiting), dict(self._turns), self._clock
        order: list[Job] = []
        while left:
            job = min(left, key=lambda job: min(turns[owner] for owner in job._owners))
            clock += 2  # leaves room for those who enter in between
            turns |= dict.fromkeys(job._owners, clock)
            left.remove(job)
            order.append(job)
        return order

    def _take_first(self) -> Job:
        job = self._order()[0]
        self._waiting.remove(job)
        self._clock += 2
        in_line = {owner for waiting in self._waiting for owner in waiting._owners}
        self._turns = {session: turn for session, turn in self._turns.items() if session in in_line}
        self._turns |= dict.fromkeys(job._owners, self._clock)
        self._running = job
        job._state, job._started = "running", monotonic()
        self._say(job, *self._waiting)
        return job

    def _abandon(self, job: Job) -> None:
        job._stopping = True
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "stopped")

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        job._state, job._error, job._ended, job._make = state, error, monotonic(), None
        if state != "done":
            job._result = None
        if self._running is job:
            self._running = None
        self._ended.append(job)
        self._forget()
        self._say(job, *self._waiting)

    def _forget(self) -> None:
        oldest = monotonic() - KEPT_SECONDS
        self._ended = [job for job in self._ended[-KEPT_JOBS:] if job._ended is not None and job._ended >= oldest]

    def _say(self, *jobs: Job) -> None:
        for job in jobs:
            job._version += 1
        self._changed.notify_all()

    # -- what is known of a job (called with the lock held) -----------------------------------------------------

    def _snapshot(self, job: Job) -> Snapshot:
        ahead: list[Job] = []
        if job._state == "waiting":
            order = self._order()
            ahead = [*([self._running] if self._running else []), *order[: order.index(job)]]
        return Snapshot(
            state=job._state,
            place=len(ahead),
            event=job._event,
            seconds_left=self._sum_left([*ahead, job]) if job._ended is None else None,
            result=job._result if job._state == "done" else None,
            partial=list(job._partial),
            error=job._error,
            seconds=_seconds(job),
            version=job._version,
        )

    def _sum_left(self, jobs: list[Job]) -> float | None:
        known = [left for job in jobs if (left := self._seconds_left(job)) is not None]
        return sum(known) if len(known) == len(jobs) else None

    def _seconds_left(self, job: Job) -> float | None:
        """From what its owner expects, else from the usual time of its kind; never less than its present stage needs.

        None when neither is known, and when the job has taken longer than that and does not say how long its stage takes.
        """
        whole = job._expected_seconds
        if whole is None:
            times = [_seconds(ended) for ended in self._ended if ended.kind == job.kind and ended._state == "done"]
            whole = median(times) if times else None
        if whole is None:
            return None
        left = whole - _seconds(job)
        if isinstance(job._event, Progress) and job._event.seconds_left is not None:
            left = max(left, job._event.seconds_left - (monotonic() - job._event_time))
        return left if left > 0 else None

    # -- the worker ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._do_next():
            gc.collect()

    def _do_next(self) -> bool:
        """Wait for a job and do it; False when the queue is closed. Afterwards this thread holds nothing of the job."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return False
            job = self._take_first()
        state, error = self._outcome(job)
        with self._changed:
            self._end(job, state, error)
        return True

    def _outcome(self, job: Job) -> tuple[State, str | None]:
        try:
            state: State = "done" if self._drive(job) else "stopped"
            return state, None
        except LiarError as failure:
            error = str(failure)
        except MemoryError:
            error = "Memory ran out; take fewer calibration tokens, a shorter sequence length or a smaller model."
        except BaseException:  # SystemExit too: the worker outlives every job
            log.exception("The job %r failed in a way that LIAR does not know", job.title)
            error = "The job failed unexpectedly; the log of the server has more."
        return ("stopped", None) if job._stopping else ("failed", error)

    def _drive(self, job: Job) -> bool:
        """Run the job's generator; True when it came to its end, False when it was stopped on the way."""
        assert job._make is not None, "a job is taken once"
        steps = job._make()
        try:
            while not job._stopping:
                try:
                    step = next(steps)
                except StopIteration as end:
                    if end.value is not None:
                        job._result = end.value
                    return True
                self._hear(job, step)
                del step  # a Finished may hold models, and the next step may take long
            return False
        finally:
            if close := getattr(steps, "close", None):
                close()

    def _hear(self, job: Job, step: Any) -> None:
        if isinstance(step, Finished) and self._on_finished is not None:
            try:
                self._on_finished(job.key, step)
            except Exception:  # what somebody else does with a result costs nobody the result
                log.exception("A finished job could not be passed on")
        with self._changed:
            if isinstance(step, Finished):
                job._result = step.result
            elif isinstance(step, Event):
                job._event, job._event_time = step, monotonic()
            else:
                job._partial.append(step)
            self._say(job)


def _seconds(job: Job) -> float:
    """How long the job has run."""
    if job._started is None:
        return 0.0
    return (monotonic() if job._ended is None else job._ended) - job._started
