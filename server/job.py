"""A job: a generator that runs in the worker thread, and the snapshot of it that pages read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

from liar.events import Progress

State = Literal["waiting", "running", "done", "stopped", "failed", "left"]
"""``left``: ended for the visitor who pressed Stop, while the job goes on for another visitor who wants the same."""

Make = Callable[[], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a job at one moment.

    ``place``: number of jobs before it, the running one included; 0 once it runs. ``event``: latest progress.
    ``share``: finished part of the job (0..1, never falling; None if unknown). ``stopping``: the job ends after the
    current step. ``seconds_left``: estimate up to the end of the job, the wait included; None if unknown or ended.
    ``result``: set if ``state`` is "done". ``partial``: items handed out so far, kept however the job ends. ``error``:
    one sentence if ``state`` is "failed". ``seconds``: time that it has run. ``version``: grows with every change.
    """

    state: State
    place: int
    event: Progress | None
    seconds_left: float | None
    result: Any
    partial: list[Any]
    error: str | None
    seconds: float
    version: int
    share: float | None = None
    stopping: bool = False

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")


class Job:
    """Handle of a job: ``id``, ``key``, ``title``, ``kind`` and ``created`` are public; all other attributes belong to
    the queue, under its lock.
    """

    def __init__(
        self, session: str, key: str, title: str, kind: str, make: Make, expected_seconds: float | None
    ) -> None:
        self.id = uuid4().hex
        self.key, self.title, self.kind = key, title, kind
        self.created = datetime.now(UTC)
        self.owners = {session}
        self.left: set[str] = (
            set()
        )  # owners whose page is closed: the job goes on, but they do not keep it from being stopped
        self.make: Make | None = make
        self.expected_seconds = expected_seconds
        self.state: State = "waiting"
        self.stopping = False
        self.started: float | None = None
        self.ended: float | None = None
        self.event: Progress | None = None
        self.event_time = 0.0
        self.share: float | None = None
        self.result: Any = None
        self.partial: list[Any] = []
        self.error: str | None = None
        self.version = 0

    @property
    def seconds(self) -> float:
        """Time that the job has run; 0 before its start."""
        if self.started is None:
            return 0.0
        return (monotonic() if self.ended is None else self.ended) - self.started
