"""Fifty clients at once: each is answered or asked to wait, and memory stays bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import gradio_client
import psutil
import pytest
from gradio_client.exceptions import AppError

from server.profile import PUBLIC
from tests.hostile.client import SMALL, Answer, Request, first_traceback
from tests.hostile.conftest import Server

pytestmark = pytest.mark.demo

CLIENTS = 50
A_CLASS = 30
"""Visitors behind one address who press "Measure it" at once and are all served."""
MORE_MEMORY = PUBLIC.model_bytes + 750e6
"""Limit on the growth of memory in bytes: that of the models, and 750 MB for threads, sessions and the run at work."""
AFTERWARDS = 8
"""Further runs, when the memory for models is full: an older one goes for each."""


@contextmanager
def peak_of(process: psutil.Process) -> Iterator[list[int]]:
    """Peak resident memory of ``process`` in bytes, sampled ten times a second, as the only item of a list."""
    peak, ended = [process.memory_info().rss], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def test_fifty_clients_are_answered_or_asked_to_wait(server: Server) -> None:
    client, gate = server.client, threading.Barrier(CLIENTS)

    def visit(number: int) -> tuple[Answer, Answer, Answer]:
        gate.wait()
        page = client.send(Request("page", "GET", "/"), seconds=60)
        expected = client.call("forecast", {"model": "demo/minilm-sentiment", "targets": "both"}, seconds=60)
        run = client.call("prune", {**SMALL, "seed": number}, seconds=300)
        return page, expected, run

    before = server.process.memory_info().rss
    begin = time.monotonic()
    with peak_of(server.process) as peak, ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(visit, range(CLIENTS)))
    seconds = time.monotonic() - begin

    assert all(page.status == 200 for page, _, _ in answers)
    assert all('"sites"' in expected.text for _, expected, _ in answers)
    done = [run for _, _, run in answers if '"state": "done"' in run.text or '"state":"done"' in run.text]
    deferred = [run for _, _, run in answers if "try again" in run.text or "jobs waiting" in run.text]
    assert len(done) + len(deferred) == CLIENTS, [
        run.text[-300:] for _, _, run in answers if run not in [*done, *deferred]
    ][:3]
    assert len(done) >= A_CLASS
    print(f"{len(done)} done, {len(deferred)} asked to wait, {seconds:.1f} s, {(peak[0] - before) / 1e6:.0f} MB more")
    assert peak[0] - before < MORE_MEMORY

    full = server.process.memory_info().rss
    with ThreadPoolExecutor(4) as pool:
        later = list(
            pool.map(lambda n: client.call("prune", {**SMALL, "seed": CLIENTS + n}, seconds=300), range(AFTERWARDS))
        )
    assert all('"done"' in run.text for run in later)
    assert server.process.memory_info().rss - full < 150e6
    assert len(list(server.place.runs.glob("*.json"))) == len(done) + AFTERWARDS
    assert first_traceback(server.log) == ""


def test_a_visitor_starts_so_many_jobs_and_holds_nobody_up(server: Server) -> None:
    """A program keeps its session from call to call."""
    program = gradio_client.Client(f"http://127.0.0.1:{server.client.port}", verbose=False)
    allowed = int(PUBLIC.starts.split()[0])
    for seed in range(1000, 1000 + allowed):
        assert program.predict(**SMALL, seed=seed, api_name="/prune")["state"] == "done"
    with pytest.raises(AppError, match=f"{allowed} times by you lately; try again"):
        program.predict(**SMALL, seed=1000 + allowed, api_name="/prune")
    assert '"done"' in _start(server, "127.0.0.1", 2000)
    assert '"done"' in _start(server, "203.0.113.7", 2001)


def _start(server: Server, client: str, seed: int) -> str:
    return server.client.call("prune", {**SMALL, "seed": seed}, headers={"x-forwarded-for": client}, seconds=60).text


def test_a_program_is_still_served(server: Server) -> None:
    program = gradio_client.Client(f"http://127.0.0.1:{server.client.port}", verbose=False)
    expected = program.predict(model="demo/minilm-sentiment", targets="both", api_name="/forecast")
    assert expected["sites"]
    assert {run["spec"]["model"] for run in program.predict(api_name="/runs")} >= {"demo/minilm-sentiment"}
    with pytest.raises(AppError, match="does not offer"):
        program.predict(model="/etc", api_name="/prune")
