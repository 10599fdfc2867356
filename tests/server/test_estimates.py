"""Estimates of the time left of a job, and its finished share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import server.job
import server.job_queue
from liar.events import Calibrated, Progress
from server.job_queue import USUAL_SECONDS, JobQueue
from tests.server.conftest import Gate, begun, ended, instant, until


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Function that moves the clock of the queue, which otherwise stands."""
    now = 1_000.0

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    for module in (server.job, server.job_queue):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    return move


def test_a_job_in_line_says_about_how_long(queue: JobQueue, gate: Gate, later: Callable[[float], None]) -> None:
    job = begun(queue, gate, expected_seconds=60)
    known = queue.submit("anna", "known", "", instant, expected_seconds=30)
    unknown = queue.submit("ben", "unknown", "", instant)
    assert queue.snapshot(unknown).seconds_left == 60 + USUAL_SECONDS, "no job is done yet"
    later(20)
    assert (queue.snapshot(job).seconds, queue.snapshot(job).seconds_left) == (20, 40)
    assert queue.snapshot(known).seconds_left == 40 + USUAL_SECONDS + 30  # behind one of unknown length
    queue.stop(unknown, "ben")
    assert queue.snapshot(known).seconds_left == 40 + 30
    later(50)
    assert queue.snapshot(job).seconds_left is None  # longer than expected
    assert queue.snapshot(known).seconds_left == 30
    gate.open.set()
    ended(queue, known)
    assert queue.snapshot(known).seconds_left is None
    done = [job.seconds, known.seconds]  # what the next ones are expected to take
    held = Gate()
    begun(queue, held, key="next")
    waiting = queue.submit("ben", "after", "", instant)
    assert queue.snapshot(waiting).seconds_left == 2 * sum(done) / 2
    held.open.set()
    ended(queue, waiting)


def test_the_estimate_of_the_job_itself_comes_first(queue: JobQueue, later: Callable[[float], None]) -> None:
    """The expected seconds do not count once the job gives an estimate of its own, higher or lower."""
    gate = Gate((Progress("evaluate", 32, 1_200, "Measuring", 240.0, 0.1),))
    job = begun(queue, gate, expected_seconds=30)
    assert queue.snapshot(job).seconds_left == 240
    later(200)
    assert queue.snapshot(job).seconds_left == 240, "it falls with the work done, or would rise again at the next step"
    gate.open.set()


def test_the_bar_never_jumps_back_and_other_events_leave_it(queue: JobQueue) -> None:
    steps = Progress("prune", 9, 10, "Pruned", 9.0, 0.9), Progress("evaluate", 0, 10, "Measuring", 60.0, 0.2)
    gate = Gate((*steps, Calibrated(12_288), "part"))
    job = queue.submit("anna", "k", "", gate)
    seen = until(queue, job, lambda snapshot: bool(snapshot.handed_out))
    assert seen.event is not None
    assert (seen.event.message, seen.share) == ("Measuring", 0.9)
    gate.open.set()
