"""More than two hundred hostile requests: none loads, reads, writes, fetches or crashes anything."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.hostile.client import API, Answer, Request, first_traceback
from tests.hostile.conftest import SECRET, Server
from tests.hostile.requests import FILE, hostile, unharmed

pytestmark = pytest.mark.demo

FORECAST = {"model": "demo/minilm-sentiment", "targets": "both", "ratio": 0.5}
OF_A_VISITOR = {"measure", "save"}
"""Events that any visitor may fire: they start a job on the run that the page shows."""


NONSENSE = {"files": FILE, "lists": [1], "nothing": None, "texts": "/etc/passwd", "-1": -1}
"""Values of no control."""


@dataclass(frozen=True)
class Attack:
    """The answers to all requests, with their names; files and memory before and after."""

    refused: list[tuple[str, Answer]]
    unharmed: list[tuple[str, Answer]]
    raw: list[tuple[str, Answer]]
    before: dict[str, tuple[int, int, int]]
    after: dict[str, tuple[int, int, int]]
    memory: tuple[int, int]

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(name, answer.text) for name, answer in [*self.refused, *self.unharmed, *self.raw]]


@pytest.fixture(scope="module")
def attack(server: Server) -> Attack:
    """The answers to all requests, sent once, one after the other."""
    client, place = server.client, server.place
    work, scratch = str(place.folder / "work"), str(place.scratch)
    before, memory = place.others(), server.process.memory_info().rss
    refused = [(request.name, client.send(request)) for request in hostile(place.trap, work, scratch)]
    harmless = [(request.name, client.send(request)) for request in unharmed(place.trap)]
    raw = list(_every_event(server))
    after = server.process.memory_info().rss
    return Attack(refused, harmless, raw, before, place.others(), (memory, after))


def _every_event(server: Server) -> Any:
    """Fire every event of the page with invalid inputs, through the queue and past it."""
    config = json.loads(server.client.send(Request("config", "GET", "/config")).text)
    for event in config["dependencies"]:
        number = len(event["inputs"])
        values = {} if event["api_name"] in OF_A_VISITOR else NONSENSE
        for what, nonsense in values.items():
            name = f"{event['id']} {event['api_name']} with {what}"
            data = [nonsense] * number
            yield name, server.client.join(event["id"], data, event_data=nonsense)
            body = {"fn_index": event["id"], "data": data, "session_hash": uuid4().hex, "event_data": nonsense}
            yield f"{name}, past the queue", server.client.send(Request(name, "POST", f"{API}/run/predict", body))
        yield f"{event['id']} with too little", server.client.join(event["id"], [])


def test_each_of_two_hundred_is_turned_down(attack: Attack) -> None:
    """Or gets the fixed answer of the two routes, cancel and reset, that accept any id and then do nothing."""
    assert len(attack.refused) >= 200
    let_in = [pair for pair in attack.refused if not pair[1].failed and pair[1].text != '{"success":true}']
    assert not let_in, "\n".join(f"{name}: {answer.status} {answer.text[:300]}" for name, answer in let_in[:8])


def test_harmless_requests_are_answered(attack: Attack) -> None:
    broken = [(name, answer.status) for name, answer in attack.unharmed if answer.status >= 500]
    assert not broken
    assert sum(answer.status == 200 for _, answer in attack.unharmed) > len(attack.unharmed) * 0.7


def test_no_answer_holds_a_secret(attack: Attack) -> None:
    leaks = [name for name, text in attack.texts if SECRET in text or "root:" in text]
    assert not leaks


def test_nothing_was_written_read_or_called_that_is_not_its_own(attack: Attack, server: Server) -> None:
    assert server.place.calls == [], "another server was called"
    changed = {path for path in attack.before if attack.before[path] != attack.after.get(path)}
    assert not changed, sorted(changed)[:10]
    assert not attack.after.keys() - attack.before.keys()
    assert not list(server.place.runs.iterdir()), "no run was done"
    written = [path for path in server.place.scratch.rglob("*") if path.is_file()]
    assert all(path.relative_to(server.place.scratch).parts[0].startswith("liar-page-") for path in written)


def test_reading_would_have_been_noticed(tmp_path: Path) -> None:
    """Skip if the file system records no times of reading, on which the check above relies."""
    planted = tmp_path / "planted"
    planted.write_text("x")
    os.utime(planted, (1_000_000_000, planted.stat().st_mtime))
    planted.read_text()
    if planted.stat().st_atime == 1_000_000_000:
        pytest.skip("this file system keeps no times of reading")


@pytest.mark.parametrize("key", ["../../../../etc/passwd", "../work/secret", "**/*", "/etc/*", "x" * 3000, ["a"], None])
def test_a_click_on_a_run_that_is_none_opens_nothing(server: Server, key: Any) -> None:
    """A click sends the key of a run, and the next event of the same visitor opens it."""
    events = json.loads(server.client.send(Request("config", "GET", "/config")).text)["dependencies"]
    named = {event["api_name"]: event for event in events}
    session = uuid4().hex
    for event, data in ((named["picked"], {"key": key}), (named["open"], None)):
        answer = server.client.join(event["id"], [None] * len(event["inputs"]), event_data=data, session_hash=session)
        assert '"success":true' in answer.text
        assert SECRET not in answer.text
    assert ("not kept here any more" in answer.text) == (isinstance(key, str) and bool(key))


def test_its_memory_has_hardly_grown(attack: Attack) -> None:
    before, after = attack.memory
    assert after - before < 300e6


def test_the_server_still_runs_without_a_traceback_and_answers(attack: Attack, server: Server) -> None:
    assert server.process.is_running()
    assert first_traceback(server.log) == ""
    answer = server.client.call("forecast", FORECAST)
    assert "event: complete" in answer.text
    assert '"sites"' in answer.text
