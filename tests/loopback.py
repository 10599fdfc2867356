"""A server on a free port of this machine, for stand-ins of the hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants


def ask(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's client ask the server at this ``address``, and keep in ``cache`` what it gets."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


JSON: Mapping[str, str] = {"Content-Type": "application/json"}


class Handler(BaseHTTPRequestHandler):
    """Answers a request of any method by :meth:`answer`, and logs nothing: tests read what was asked from their server."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        """Send bytes as they are, and any other content as JSON; HEAD leaves both out."""
        payload, type = (content, {}) if isinstance(content, bytes) else (json.dumps(content).encode(), JSON)
        self.send_response(status)
        known = {"Content-Length": str(len(payload)), "ETag": f'"{hashlib.sha1(payload).hexdigest()}"'}
        for name, value in {**type, **known, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)


@contextmanager
def serving(handler: type[Handler], **attributes: Any) -> Iterator[str]:
    """Serve requests by a ``handler`` class with these attributes; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), attributes))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
