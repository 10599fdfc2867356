"""A job: a generator that runs in the worker thread, the values that it hands out, and the snapshots that pages read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Literal, TypeVar

from liar.events import Progress

T = TypeVar("T")

State = Literal["waiting", "running", "done", "stopped", "failed", "left"]
"""``left``: ended for the visitor who pressed Stop, while the job goes on for another visitor who wants the same."""


Make = Callable[[], Iterator[Any]]
"""Function that is called in the worker and returns the generator of a job."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a job at one moment.

    ``place``: number of jobs before it, the running one included; 0 once it runs. ``event``: latest progress.
    ``share``: finished part of the job (0..1, never falling; None if unknown). ``stopping``: the job ends after the
    current step. ``seconds_left``: estimate up to the end of the job, the wait included; None if unknown or ended.
    ``result``: set if ``state`` is "done". ``handed_out``: what it has yielded besides events, however it ends.
    ``error``: one sentence if ``state`` is "failed". ``seconds``: time that it has run. ``version``: grows with every
    change. ``news``: whether a watcher has a value, or the end of the job, that its snapshot before did not have.
    """

    id: str
    title: str
    state: State = "waiting"
    place: int = 0
    event: Progress | None = None
    seconds_left: float | None = None
    result: Any = None
    handed_out: list[Any] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    version: int = 0
    share: float | None = None
    stopping: bool = False
    news: bool = False

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")

    def all_of(self, kind: type[T]) -> list[T]:
        """Values of this type that were handed out, the oldest first."""
        return [value for value in self.handed_out if isinstance(value, kind)]

    def latest(self, kind: type[T]) -> T | None:
        """Value of this type that was handed out last, None if there is none."""
        return next(reversed(self.all_of(kind)), None)


@dataclass(eq=False)
class Job:
    """Handle of a job: ``key`` and ``facts`` are public; all other attributes belong to the queue, under its lock.

    ``facts``: its state, without its place and times. ``owners``: sessions that want it. ``absent``: owners whose page is
    closed; the job goes on, but they do not keep it from being stopped.
    """

    key: str
    make: Make | None
    expected_seconds: float | None
    facts: Snapshot
    owners: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    stopping: bool = False
    started: float | None = None
    ended: float | None = None

    def change(self, **facts: Any) -> None:
        """Replace some of the facts; the version grows also without any, as when the place changes."""
        self.facts = replace(self.facts, version=self.facts.version + 1, **facts)

    @property
    def seconds(self) -> float:
        """Time that the job has run; 0 before its start."""
        if self.started is None:
            return 0.0
        return (monotonic() if self.ended is None else self.ended) - self.started

    @property
    def seconds_left(self) -> float | None:
        """Time left by the job's own latest estimate, before its first one by ``expected_seconds``.

        None if there is no estimate, the job takes longer than expected, or it has ended.
        """
        if self.ended is not None:
            return None
        if self.facts.event is not None and self.facts.event.seconds_left is not None:
            return self.facts.event.seconds_left
        if self.expected_seconds is None:
            return None
        return max(self.expected_seconds - self.seconds, 0.0) or None
