"""A job: a generator in a thread of its own, and what a page may know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

from liar.events import Progress

State = Literal["waiting", "running", "done", "stopped", "failed", "left"]
"""``left``: over for the visitor who asked, who pressed Stop, and not for another one who wants the same."""

Make = Callable[[], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job as it stood at one moment.

    ``place`` is how many jobs come before it, the one at work included; 0 once it runs. ``event`` is its latest progress,
    ``share`` how much of the job is behind (0..1, never falling; None while that is not known). ``stopping`` says that it
    ends after the step at work. ``seconds_left`` is an estimate up to the end of the job, the wait included; None
    while nothing is known, and once it ended. ``result`` is there when ``state`` is "done"; ``partial``, what the job has
    handed out so far, stays whatever the end; ``error`` is one sentence when ``state`` is "failed". ``seconds`` is how long
    it has run. ``version`` grows with every change.
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
    """A handle: ``id``, ``key``, ``title``, ``kind`` and ``created`` are for everybody; the rest is for the queue alone, which
    holds its lock around every use.
    """

    def __init__(
        self, session: str, key: str, title: str, kind: str, make: Make, expected_seconds: float | None
    ) -> None:
        self.id = uuid4().hex
        self.key, self.title, self.kind = key, title, kind
        self.created = datetime.now(UTC)
        self.owners = {session}
        self.left: set[str] = set()  # owners whose page is closed: their job goes on, but need not be theirs for ever
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
        """How long it has run."""
        if self.started is None:
            return 0.0
        return (monotonic() if self.ended is None else self.ended) - self.started
