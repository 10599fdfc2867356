"""Time spent in each stage, and an estimate of the time left in a whole job."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from liar.events import Progress, Stage

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
E = TypeVar("E")
P = ParamSpec("P")


class Stopwatch:
    """Seconds of each stage, including the time that the caller of a generator takes between its events."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent in the ``with`` block to ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a job. ``cost`` is its expected seconds, up to a factor that all parts share.

    Parts of one ``kind`` do similar work, so the pace of one predicts the others better than that of the whole job.
    """

    name: str
    cost: float
    kind: str = ""


class Pace:
    """Estimate of the time left in a whole job, from its plan and the pace so far.

    The pace (seconds per cost) of each kind of work is measured, and shrunk towards that of the whole job while little
    of the kind is done. Parts come in the order of the plan; a skipped part counts as no work. There is no estimate
    before :data:`_FIRST` of the work is done, and none above :data:`MOST_RISE` times an earlier one. The finished share of
    the job never falls.
    """

    def __init__(self, parts: Sequence[Part], *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun = self._credited = clock()
        self._names = [part.name for part in parts]
        self._kinds = [part.kind or part.name for part in parts]
        self._costs = self._left = [part.cost for part in parts]
        self._current: int | None = None
        self._share = 0.0
        self._most = math.inf
        self._seconds: dict[str, float] = defaultdict(float)  # spent on each kind
        self._done: dict[str, float] = defaultdict(float)  # cost of what is done of each kind

    def at(
        self, part: str, stage: Stage, done: int, total: int, message: str, *, fraction: float | None = None
    ) -> Progress:
        """Progress of the job when ``fraction`` of ``part`` is done; by default ``done / total``."""
        reached = (done / total if total else 0.0) if fraction is None else fraction
        now = self._clock()
        self._move(part, min(max(reached, 0.0), 1.0), now)
        left = self.seconds_left
        if left is None:
            return Progress(stage, done, total, message, part=part)
        left = min(left, self._most)
        self._most = min(self._most, MOST_RISE * left)
        elapsed = now - self._begun
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
        """Turn the (done, total) of ``steps`` into progress of the job; returns the value of ``steps``.

        A job with a count of its own passes it as ``pieces`` (done, total); that of ``steps`` then joins the message.
        """

        def step(item: tuple[int, int]) -> Progress:
            done, total = item
            if pieces is None:
                return self.at(part, stage, done, total, message)
            return self.at(part, stage, *pieces, f"{message}, {done} of {total}", fraction=done / total)

        yield self.at(part, stage, *(pieces or (0, 0)), message, fraction=0.0)
        return (yield from relay(steps, step))

    def within(self, part: str, events: Generator[E, None, T]) -> Generator[E | Progress, None, T]:
        """Relay the events of a job that is a ``part`` of this one, with progress of the whole; returns its value."""

        def of_the_whole(event: E) -> E | Progress:
            if not isinstance(event, Progress):
                return event
            return self.at(part, event.stage, event.done, event.total, event.message, fraction=event.share or 0.0)

        return (yield from relay(events, of_the_whole))

    @property
    def seconds_left(self) -> float | None:
        """Seconds left in the whole job at the last step by its pace alone; None before :data:`_FIRST` of it is done."""
        done = sum(self._done.values())
        if done <= 0 or done < _FIRST * (done + sum(self._left)):
            return None
        overall = sum(self._seconds.values()) / done
        shrinkage = _SHRINKAGE * sum(self._costs)
        return sum(
            rest * (self._seconds[kind] + shrinkage * overall) / (self._done[kind] + shrinkage)
            for kind, rest in zip(self._kinds, self._left, strict=True)
            if rest
        )

    def _move(self, part: str, reached: float, now: float) -> None:
        """Advance ``part`` to ``reached`` (0..1) and credit the time since the last step to the work done, by cost."""
        index, before = self._names.index(part), self._left
        rest = min((1 - reached) * self._costs[index], before[index])
        self._left = [*[0.0] * index, rest, *before[index + 1 :]]
        worked = {index if self._current is None else self._current, index}
        self._current = max(worked)
        spent = {i: before[i] - self._left[i] for i in worked}
        whole = sum(spent.values())
        if whole <= 0:  # the time counts for the work that finishes next
            return
        for i, cost in spent.items():
            self._seconds[self._kinds[i]] += (now - self._credited) * cost / whole
            self._done[self._kinds[i]] += cost
        self._credited = now


MOST_RISE = 4 / 3
"""An estimate that goes up and down is of no use to a visitor who waits."""

_FIRST = 0.05
"""Share of the work; the first calls of a process are slow, so a pace measured on less says little of the rest."""

_SHRINKAGE = 0.02
"""Strength of the shrinkage: with this share of the job's cost done in one kind, both paces count equally."""


def relay(steps: Generator[A, None, T], turn: Callable[[A], B]) -> Generator[B, None, T]:
    """Yield ``turn(item)`` for each item of ``steps`` and return their value; closing it closes ``steps``."""
    return (yield from relay_all(steps, lambda item: (turn(item),)))


def relay_all(steps: Generator[A, None, T], turn: Callable[[A], Iterable[B]]) -> Generator[B, None, T]:
    """:func:`relay` with any number of items for each one of ``steps``."""
    with closing(steps):
        while True:
            try:
                item = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            yield from turn(item)


def finish(steps: Generator[A, None, T], on_item: Callable[[A], object] | None = None) -> T:
    """Run ``steps`` to the end and return their value; ``on_item`` is called with each item."""
    while True:
        try:
            item = next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if on_item is not None:
            on_item(item)


def finished(steps: Callable[P, Generator[A, None, T]]) -> Callable[P, T]:
    """The function that takes the arguments of ``steps``, runs them to the end and returns their value."""

    @wraps(steps)
    def run(*arguments: P.args, **choices: P.kwargs) -> T:
        return finish(steps(*arguments, **choices))

    return run
