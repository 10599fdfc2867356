"""Seconds of each stage, and progress with an estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from liar.events import Progress, Stage

T = TypeVar("T")


class Stopwatch:
    """Seconds of each stage, as the caller of the generator sees them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Pace:
    """Progress events of one stage, with an estimate once the first step has been timed."""

    def __init__(self, stage: Stage, total: int) -> None:
        self.stage, self.total = stage, total
        self.start = time.perf_counter()

    def at(self, done: int, message: str) -> Progress:
        elapsed = time.perf_counter() - self.start
        left = elapsed / done * (self.total - done) if done else None
        return Progress(self.stage, done, self.total, message, left)


def paced(steps: Generator[tuple[int, int], None, T], stage: Stage, message: str) -> Generator[Progress, None, T]:
    """Turn (done, total) into progress events; the value of ``steps`` is passed on."""
    pace = Pace(stage, 0)
    while True:
        try:
            done, pace.total = next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        yield pace.at(done, message)


def finish(steps: Generator[tuple[int, int], None, T], on_progress: Callable[[int, int], None] | None = None) -> T:
    """The value of ``steps``, run to their end; ``on_progress`` hears (done, total) of each."""
    while True:
        try:
            done, total = next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if on_progress is not None:
            on_progress(done, total)


class JobPace:
    """Progress of the whole: how many pieces are done, and how long the others take at the pace so far."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.skipped = 0, total, 0
        self.start()

    def start(self) -> None:
        """From here on time counts."""
        self.begun = self.stepped = time.perf_counter()

    def skip(self) -> None:
        """One piece needed no work."""
        self.done += 1
        self.skipped += 1

    def step(self) -> None:
        self.done += 1
        self.stepped = time.perf_counter()

    def at(self, stage: Stage, message: str) -> Progress:
        left: float | None = None
        if self.done > self.skipped:
            each = (self.stepped - self.begun) / (self.done - self.skipped)
            left = max(each * (self.total - self.done) - (time.perf_counter() - self.stepped), 0.0)
        return Progress(stage, self.done, self.total, message, left)

    def along(
        self, steps: Generator[tuple[int, int], None, T], stage: Stage, message: str
    ) -> Generator[Progress, None, T]:
        """The progress of the whole while one of its pieces goes on; the value of ``steps`` is passed on."""
        while True:
            try:
                done, total = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            yield self.at(stage, f"{message}, {done} of {total}")
