"""A client for requests that no browser sends: raw paths, raw bodies, raw headers."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

API = "/gradio_api"
JSON = {"content-type": "application/json"}
SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_traceback(log: Path) -> str:
    """First traceback in a server's log, down to the line of the exception; empty if there is none."""
    found = re.search(r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*.*", log.read_text())
    return found[0] if found else ""


SMALL: dict[str, Any] = {
    "model": "demo/minilm-sentiment",
    "criterion": "magnitude",
    "allocation": "uniform",
    "reconstruction": "bias",
    "schedule": "one-shot",
    "tokens": 64,
    "sequence_length": 16,
    "evaluate_limit": 2,
}
"""A recipe that takes about a second."""


@dataclass(frozen=True)
class Request:
    """A request; a ``body`` of bytes is sent unchanged, any other as JSON."""

    name: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An answer; ``text`` is its whole body, including the stream of events if it has one."""

    status: int
    text: str

    @property
    def failed(self) -> bool:
        """Whether the request was refused: by its status, by an event, or by a sentence on the page."""
        words = ("event: error", '"success":false', '"success": false', 'role=\\"alert\\"')
        return self.status >= 400 or any(word in self.text for word in words)


class Client:
    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, request: Request, seconds: float = SECONDS) -> Answer:
        """Send one request; if it queues an event, follow that to its end."""
        status, text = self._once(request, seconds)
        event = _event_of(text) if status == 200 and request.method == "POST" else None
        if event is None:
            return Answer(status, text)
        if request.path.startswith(f"{API}/call/"):
            _, more = self._once(
                Request("events", "GET", f"{request.path.rstrip('/').replace('/v2/', '/')}/{event}"), seconds
            )
        else:
            session = request.body["session_hash"]
            _, more = self._once(Request("events", "GET", f"{API}/queue/data?session_hash={session}"), seconds)
        return Answer(status, f"{text}\n{more}")

    def call(
        self, endpoint: str, choices: dict[str, Any], headers: dict[str, str] | None = None, seconds: float = SECONDS
    ) -> Answer:
        """Call a public endpoint as curl does, with its parameters by name."""
        return self.send(Request(endpoint, "POST", f"{API}/call/v2/{endpoint}", choices, headers or {}), seconds)

    def join(self, index: int, data: list[Any], **more: Any) -> Answer:
        """Fire the event ``index`` as the page does."""
        body = {"fn_index": index, "data": data, "session_hash": uuid4().hex, **more}
        return self.send(Request("join", "POST", f"{API}/queue/join", body))

    def _once(self, request: Request, seconds: float) -> tuple[int, str]:
        body = request.body
        headers = dict(request.headers)
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode("utf-8", "surrogatepass"), {**JSON, **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.putrequest(request.method, request.path, skip_host="host" in headers)
            if body is not None and "content-length" not in headers and "transfer-encoding" not in headers:
                headers["content-length"] = str(len(body))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            try:
                if body is not None:
                    connection.send(body)
            except OSError:
                pass  # refused before all of it was sent; the answer holds the reason
            return _read(connection, seconds)
        except (OSError, http.client.HTTPException) as error:
            return 499, f"closed: {error!r}"
        finally:
            connection.close()


def _read(connection: http.client.HTTPConnection, seconds: float) -> tuple[int, str]:
    """Read a stream of events to the end of the first event, and any other answer as a whole."""
    response = connection.getresponse()
    deadline = time.monotonic() + seconds
    if "text/event-stream" not in (response.getheader("content-type") or ""):
        return response.status, response.read().decode(errors="replace")
    text = ""
    while time.monotonic() < deadline:
        line = response.readline().decode(errors="replace")
        text += line
        if not line or "ALIVE" in line or '"msg":"process_completed"' in line or '"close_stream"' in line:
            break
        if text.endswith("\n\n") and ("event: complete" in text or "event: error" in text):
            break
    return response.status, text


def _event_of(text: str) -> str | None:
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    event = answer.get("event_id") if isinstance(answer, dict) else None
    return event if isinstance(event, str) else None
