"""Seconds of each stage, and how long a whole job has still to go."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from liar.events import Progress, Stage

T = TypeVar("T")
E = TypeVar("E")


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


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a job: ``cost`` is the seconds that it should take, right up to a factor that all parts share.

    Parts of one ``kind`` do the same sort of work, so the pace of one says more of the others than that of the whole job.
    """

    name: str
    cost: float
    kind: str = ""


class Pace:
    """The estimate of a whole job: what its plan has left, at the pace seen so far.

    Of every kind of work the seconds per cost are learned from what is done, drawn towards those of the whole job where
    little of the kind was seen. Parts come in the order of the plan; one that is passed over took no work. Nothing is known
    before some work is done, and the share of the job that is behind never falls.
    """

    def __init__(self, parts: Sequence[Part], *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun = self._seen = self._told = clock()
        self._names = [part.name for part in parts]
        self._kinds = [part.kind or part.name for part in parts]
        self._left = [part.cost for part in parts]
        self._costs = list(self._left)
        self._here = -1
        self._share = 0.0
        self._done: dict[str, tuple[float, float]] = {}  # seconds and cost of each kind

    def at(
        self, part: str, stage: Stage, done: int, total: int, message: str, *, fraction: float | None = None
    ) -> Progress:
        """The progress of the job when ``fraction`` of ``part`` is done: by default ``done`` of ``total``."""
        reached = (done / total if total else 0.0) if fraction is None else fraction
        self._move(part, min(max(reached, 0.0), 1.0))
        left = self.seconds_left
        if left is None:
            return Progress(stage, done, total, message, part=part)
        elapsed = self._seen - self._begun
        self._share = max(self._share, elapsed / (elapsed + left) if elapsed + left > 0 else 1.0)
        return Progress(stage, done, total, message, left, self._share, part)

    def along(
        self,
        part: str,
        steps: Generator[tuple[int, int], None, T],
        stage: Stage,
        message: str,
        *,
        pieces: tuple[int, int] | None = None,
    ) -> Generator[Progress, None, T]:
        """Turn (done, total) into progress of the job; the value of ``steps`` is passed on.

        A job that counts its own ``pieces`` says how many of these are done, of all, and the count of the steps in words.
        """
        yield self.at(part, stage, *(pieces or (0, 0)), message, fraction=0.0)
        while True:
            try:
                done, total = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if pieces is None:
                yield self.at(part, stage, done, total, message)
            else:
                yield self.at(part, stage, *pieces, f"{message}, {done} of {total}", fraction=done / total)

    def within(self, part: str, events: Generator[E, None, T]) -> Generator[E, None, T]:
        """Events of a job that is a ``part`` of this one, with progress of the whole; its value is passed on."""
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if isinstance(event, Progress):
                whole = self.at(part, event.stage, event.done, event.total, event.message, fraction=event.share or 0.0)
                yield replace(event, seconds_left=whole.seconds_left, share=whole.share, part=part)
            else:
                yield event

    @property
    def seconds_left(self) -> float | None:
        """Of the whole job, as of the last step; None before the first."""
        seconds = sum(seconds for seconds, _ in self._done.values())
        cost = sum(cost for _, cost in self._done.values())
        if cost <= 0:
            return None
        overall = seconds / cost
        drawn = _DRAWN * sum(self._costs)
        left = 0.0
        for kind, rest in zip(self._kinds, self._left, strict=True):
            seconds, cost = self._done.get(kind, (0.0, 0.0))
            left += rest * (seconds + drawn * overall) / (cost + drawn) if rest else 0.0
        return left

    def _move(self, part: str, reached: float) -> None:
        """Time since the last step goes to what was done in it, by its cost."""
        self._seen = self._clock()
        there = self._names.index(part)
        spent: list[tuple[str, float]] = []
        if there > self._here:
            if self._here >= 0:
                spent.append((self._kinds[self._here], self._left[self._here]))
            self._left[:there] = [0.0] * there
            self._here = there
        rest = min((1 - reached) * self._costs[there], self._left[there])
        spent.append((self._kinds[there], self._left[there] - rest))
        self._left[there] = rest
        whole = sum(cost for _, cost in spent)
        if whole <= 0:  # what took this time is still to come
            return
        seconds, self._told = self._seen - self._told, self._seen
        for kind, cost in spent:
            before = self._done.get(kind, (0.0, 0.0))
            self._done[kind] = before[0] + seconds * cost / whole, before[1] + cost


_DRAWN = 0.02
"""Share of a job's cost: of a kind of which so much is done, its own pace and that of the job count alike."""


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
