"""The queue: order of the jobs, owners that may stop them, and the state kept after a job ends."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest

import server.job_queue
from liar.errors import CalibrationError, QueueFullError
from liar.events import Finished
from server.job import Job, Snapshot
from server.job_queue import JobQueue
from tests.fakes import language_run
from tests.server.conftest import HALF, Gate, at_gate, begun, ended, instant


def recording(order: list[str], name: str) -> Callable[[], Iterator[Any]]:
    def make() -> Iterator[Any]:
        order.append(name)
        yield HALF

    return make


def test_a_job_ends_with_its_value_and_all_that_it_handed_out(queue: JobQueue, gate: Gate) -> None:
    job = queue.submit("anna", "k", "A run", gate)
    running = at_gate(queue, job)
    assert (running.state, running.place, running.event, running.handed_out) == ("running", 0, HALF, ["first"])
    assert running.result is None
    gate.open.set()
    last = ended(queue, job)
    assert (last.state, last.result, last.handed_out, last.error) == ("done", "value", ["first", "second"], None)
    assert queue.find("k") is job
    assert queue.get(job.facts.id) is job
    assert [snapshot.state for snapshot in queue.watch(job)] == ["done"]


def test_values_are_found_by_their_type() -> None:
    seen = Snapshot("id", "", handed_out=[1, "a", 2])
    assert (seen.all_of(int), seen.all_of(float)) == ([1, 2], [])
    assert (seen.latest(int), seen.latest(str), seen.latest(float)) == (2, "a", None)


def test_a_second_submit_of_the_same_key_joins(queue: JobQueue, gate: Gate) -> None:
    job = begun(queue, gate)
    waiting = queue.submit("anna", "next", "Another", instant)
    assert queue.submit("ben", "k", "A run", instant) is job
    assert queue.submit("ben", "next", "Another", instant) is waiting
    gate.open.set()
    ended(queue, waiting)
    assert queue.submit("ben", "k", "A run", instant) is not job  # an ended job is not joined


def test_values_can_arrive_before_the_next_tick(queue: JobQueue, gate: Gate) -> None:
    ready = Event()

    def make() -> Iterator[Any]:
        ready.wait(20)
        yield "a part"
        yield from gate()

    job = queue.submit("anna", "k", "", make)
    watching = queue.watch(job, poll=30.0, values_wait=False)
    assert next(watching).handed_out == [], "the first snapshot comes at once"
    begin = time.monotonic()
    ready.set()
    while not next(watching).handed_out:
        pass
    assert time.monotonic() - begin < 10
    gate.open.set()


def test_sessions_take_turns(queue: JobQueue, gate: Gate) -> None:
    order: list[str] = []
    begun(queue, gate, key="gate")

    def submit(session: str, name: str) -> Job:
        return queue.submit(session, name, "", recording(order, name))

    jobs = [submit("anna", "a1"), submit("anna", "a2"), submit("anna", "a3")]
    jobs += [submit("ben", "b1"), submit("ben", "b2"), submit("cleo", "c1")]
    places = {job.key: queue.snapshot(job).place for job in jobs}
    assert places == {"b1": 1, "c1": 2, "a1": 3, "b2": 4, "a2": 5, "a3": 6}
    gate.open.set()
    for job in jobs:
        ended(queue, job)
    assert order == ["b1", "c1", "a1", "b2", "a2", "a3"]


def test_newcomers_do_not_hold_up_a_session_for_ever(queue: JobQueue) -> None:
    first, second = Gate(), Gate()
    begun(queue, first, key="a1")
    queue.submit("ben", "b1", "", second)
    mine = queue.submit("anna", "a2", "", instant)
    first.open.set()
    at_gate(queue, queue.find("b1") or pytest.fail("lost"))
    queue.submit("cleo", "c1", "", instant)
    assert queue.snapshot(mine).place == 1
    second.open.set()


def test_limits_name_a_way_out_and_joining_is_free(gate: Gate) -> None:
    with closing(JobQueue(max_waiting=4)) as queue:
        begun(queue, gate, key="gate")
        for key in ("a1", "a2", "a3"):
            queue.submit("anna", key, "", instant)
        with pytest.raises(QueueFullError, match="stop one"):
            queue.submit("anna", "a4", "", instant)
        queue.submit("ben", "b1", "", instant)
        with pytest.raises(QueueFullError, match="try again"):
            queue.submit("cleo", "c1", "", instant)
        assert queue.submit("cleo", "a1", "", instant) is queue.find("a1")
        gate.open.set()


def test_a_waiting_job_is_stopped_at_once_and_never_runs(queue: JobQueue, gate: Gate) -> None:
    order: list[str] = []
    begun(queue, gate, key="gate")
    stopped = queue.submit("anna", "a1", "", recording(order, "a1"))
    after = queue.submit("anna", "a2", "", recording(order, "a2"))
    queue.stop(stopped, "anna")
    assert queue.snapshot(stopped).state == "stopped"
    assert queue.snapshot(after).place == 1
    gate.open.set()
    ended(queue, after)
    assert order == ["a2"]


def test_a_running_job_is_closed_at_its_next_yield_and_keeps_what_it_handed_out(queue: JobQueue, gate: Gate) -> None:
    steps = gate()  # a second reference to the generator, so that only closing it runs its finally
    job = queue.submit("anna", "k", "", lambda: steps)
    assert not at_gate(queue, job).stopping
    queue.stop(job, "anna")
    assert (queue.snapshot(job).state, queue.snapshot(job).stopping) == ("running", True)
    watching = queue.watch(job, session="anna", poll=0)
    assert next(watching).stopping
    again = queue.submit("anna", "k", "", instant)
    assert again is not job  # a stopping job is not joined
    gate.open.set()  # the current step still hands out its value
    assert all(snapshot.stopping or snapshot.state == "stopped" for snapshot in watching)
    last = ended(queue, job)
    assert (last.state, last.handed_out, last.result, last.error) == ("stopped", ["first", "second"], None, None)
    assert gate.closed.is_set()
    assert ended(queue, again).state == "done"


def test_only_the_last_owner_stops_a_job(queue: JobQueue, gate: Gate) -> None:
    job = begun(queue, gate)
    queue.submit("ben", "k", "", gate)
    queue.stop(job, "anna")
    queue.stop(job, "another session")
    assert not job.stopping, "it goes on for its other owner"
    assert [snapshot.state for snapshot in queue.watch(job, session="anna")] == ["left"]
    assert next(queue.watch(job, session="ben")).state == "running"
    queue.stop(job, "ben")
    assert job.stopping, "it has no owner left"
    gate.open.set()
    assert ended(queue, job).state == "stopped"


def raising(error: BaseException) -> Callable[[], Iterator[Any]]:
    def make() -> Iterator[Any]:
        yield "kept"
        raise error

    return make


@pytest.mark.parametrize(
    ("error", "words", "logged"),
    [
        (CalibrationError("The text is empty; give it some words."), "The text is empty; give it some words.", False),
        (MemoryError(), "Memory ran out", False),
        (ZeroDivisionError("secret detail"), "the log of the server has more", True),
        (SystemExit(1), "the log of the server has more", True),
    ],
)
def test_a_failure_is_one_sentence_and_the_queue_goes_on(
    queue: JobQueue, caplog: pytest.LogCaptureFixture, error: BaseException, words: str, logged: bool
) -> None:
    last = ended(queue, queue.submit("anna", "bad", "", raising(error)))
    assert (last.state, last.handed_out, last.result) == ("failed", ["kept"], None)
    assert last.error is not None
    assert words in last.error
    assert "secret" not in last.error
    assert ("Traceback" in caplog.text) is logged
    assert ended(queue, queue.submit("anna", "worse", "", Mock(side_effect=error))).error == last.error
    assert ended(queue, queue.submit("anna", "good", "", instant)).state == "done"


def test_a_closed_page_does_not_stop_the_job_and_a_reloaded_one_joins_it(queue: JobQueue, gate: Gate) -> None:
    job = queue.submit("before", "k", "", gate)
    watching = queue.watch(job)
    assert next(watching).state in ("waiting", "running")
    watching.close()  # type: ignore[attr-defined]
    queue.leave("before")
    assert queue.join(job, "after")
    gate.open.set()
    assert ended(queue, job).state == "done"
    assert not queue.join(job, "late")


def test_a_session_that_rejoins_a_job_may_stop_it(queue: JobQueue, gate: Gate) -> None:
    job = begun(queue, gate, "before the reload")
    queue.leave("before the reload")
    queue.stop(job, "another session")
    assert queue.submit("after the reload", "k", "A run", instant) is job
    queue.stop(job, "after the reload")
    gate.open.set()
    assert ended(queue, job).state == "stopped"


def test_of_a_finished_run_only_the_result_is_kept() -> None:
    handed: list[Finished] = []
    run = language_run()

    def passed_on(event: Finished) -> None:
        handed.append(event)
        raise OSError("the disk is full")

    def make() -> Iterator[Any]:
        yield HALF
        yield Finished(run)

    with closing(JobQueue(on_finished=passed_on)) as queue:
        last = ended(queue, queue.submit("anna", "k", "", make))
    assert handed == [Finished(run)]
    assert (last.state, last.result, last.event, last.handed_out) == ("done", run, HALF, [])


def test_an_ended_job_holds_neither_generator_nor_closure(queue: JobQueue) -> None:
    class Model: ...

    def begin(fails: bool) -> tuple[Job, list[weakref.ref[Any]]]:
        model, gate = Model(), Event()
        references: list[weakref.ref[Any]] = [weakref.ref(model)]

        def make() -> Iterator[Any]:
            def steps() -> Iterator[Any]:
                yield HALF
                assert gate.wait(10)
                if fails:
                    raise CalibrationError(f"Bad {type(model).__name__}; try another.")

            generator = steps()
            references.append(weakref.ref(generator))
            return generator

        job = queue.submit("anna", str(fails), "", make)
        at_gate(queue, job)
        gate.set()
        return job, references

    for fails in (False, True):
        job, references = begin(fails)
        ended(queue, job)
        ended(queue, queue.submit("anna", "next", "", instant))  # the worker has collected by now
        assert [reference() for reference in references] == [None, None]


def test_ended_jobs_are_dropped(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(server.job_queue, "monotonic", lambda: now)
    monkeypatch.setattr(server.job_queue, "KEPT_JOBS", 3)
    jobs = []
    for number in range(4):
        jobs.append(queue.submit("anna", str(number), "", instant))
        ended(queue, jobs[-1])
    assert queue.find("0") is None
    assert queue.find("1") is jobs[1]
    now += 31 * 60
    assert queue.get(jobs[-1].facts.id) is None


def test_closing_ends_everything() -> None:
    queue, gate = JobQueue(), Gate()
    running = begun(queue, gate)
    waiting = queue.submit("anna", "next", "", instant)
    closer = threading.Thread(target=queue.close)
    closer.start()
    ended(queue, waiting)
    gate.open.set()
    closer.join(10)
    assert queue.snapshot(waiting).state == queue.snapshot(running).state == "stopped"
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit("anna", "k", "", instant)
