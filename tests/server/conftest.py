"""Fixtures of this folder: the services of a server without models, a queue, and a job that waits at a gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from liar.events import Progress
from server.job import Job, Snapshot
from server.job_queue import JobQueue
from tests.studio import studio

__all__ = ["studio"]

HALF = Progress("prune", 1, 2, "Pruned and repaired layers.0.ffn")


@dataclass
class Gate:
    """A job that yields ``begin``, then waits for ``open``, then hands out "second" and ends with "value"."""

    begin: tuple[Any, ...] = ("first", HALF)
    open: Event = field(default_factory=Event)
    closed: Event = field(default_factory=Event)

    def __call__(self) -> Iterator[Any]:
        try:
            yield from self.begin
            assert self.open.wait(10)
            yield "second"
            return "value"
        finally:
            self.closed.set()


def until(queue: JobQueue, job: Job, seen: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that ``seen`` accepts; one comes at least once a second."""
    last = None
    for _, last in zip(range(20), queue.watch(job, poll=0), strict=False):
        if seen(last):
            return last
    raise AssertionError(f"never seen, last was {last}")


def ended(queue: JobQueue, job: Job) -> Snapshot:
    return until(queue, job, lambda snapshot: snapshot.ended)


def at_gate(queue: JobQueue, job: Job) -> Snapshot:
    return until(queue, job, lambda snapshot: snapshot.event is not None)


def begun(queue: JobQueue, gate: Gate, session: str = "anna", key: str = "k", **choices: Any) -> Job:
    """The job of ``gate``, once it waits there."""
    job = queue.submit(session, key, "A run", gate, **choices)
    at_gate(queue, job)
    return job


def instant() -> Iterator[Any]:
    yield "only"


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(max_waiting=8)
    yield queue
    queue.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()
