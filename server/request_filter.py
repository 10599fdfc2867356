"""Middleware that lets only the requests of this page reach Gradio."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.login import LOGIN_PATHS
from server.profile import Profile

log = logging.getLogger(__name__)

_API = "/gradio_api"
_READ = {
    "/",
    "/card.png",
    "/config",
    "/favicon.ico",
    "/findings",
    "/manifest.json",
    "/robots.txt",
    "/study",
    "/theme.css",
    *(f"{_API}/{name}" for name in ("app_id", "info", "queue/data", "queue/status", "startup-events", "theme.css")),
}
_READ_BELOW = ("/assets/", "/course/", "/site/", "/static/", "/svelte/", f"{_API}/call/", f"{_API}/heartbeat/")
_WRITTEN = {f"{_API}/{name}" for name in ("cancel", "queue/join", "reset")}
_WRITTEN_BELOW = (f"{_API}/call/", f"{_API}/run/")
_FILES = f"{_API}/file="
_TOOLS = f"{_API}/mcp"

_SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
_METHODS_READ: Container[str] = ("GET", "HEAD")

_LENGTH_DIGITS = 20
"""Most digits of a Content-Length that is read as a number."""

Refusal = tuple[int, str]
"""HTTP status and sentence of a request that is not let through."""


class RequestFilter:
    """Middleware: lets through the requests of the page, of its login and of its three endpoints, also as tools, and no others.

    Gradio also has routes that upload files, fetch any address for the caller, store links and show the queue; this
    page needs none of them. A body must be plain JSON of bounded size. If a route of Gradio raises an exception, one
    line is logged and the request is answered with status 400.
    """

    def __init__(self, app: ASGIApp, page: gr.Blocks, profile: Profile) -> None:
        self.app, self.page, self.profile, self.login = app, page, profile, page.expects_oauth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refusal = _closed(scope["method"], scope["path"], self.page.mcp_server, self.login)
        if refusal is None and scope["method"] == "POST":
            refusal = _bad_length(scope, self.profile.body_bytes)
            if refusal is None:
                body = await _read(receive, self.profile.body_bytes)
                refusal = _too_large(self.profile.body_bytes) if body is None else self._refusal_of(body)
                receive = _replay(body or b"", receive)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        else:
            await _pass(self.app, scope, receive, send)

    def _refusal_of(self, body: bytes) -> Refusal | None:
        """Refusal of a request with this body, None if the body is accepted."""
        values = _parsed(body)
        if values is None:
            return 400, "The body of a request to this page is a JSON object of plain texts and finite numbers."
        session = values.get("session_hash")
        if session is None:
            return None
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            return 400, "A session_hash has up to 64 letters and digits."
        unread = self.page._queue.pending_messages_per_session.get(session)
        if unread is not None and unread.qsize() > self.profile.unread:
            return 429, "Too many answers of this session are unread; read them at queue/data, then try again."
        return None


_NO_ADDRESS: Refusal = (404, "This page has no such address.")


def _closed(method: str, path: str, tools: bool, login: bool) -> Refusal | None:
    """Refusal of a request by its method and path, None if it is let through.

    ``tools`` are those of an MCP server; ``login`` is that of the Hub.
    """
    if login and method == "GET" and path in LOGIN_PATHS:
        return None
    if tools and method in ("GET", "POST", "DELETE") and (path == _TOOLS or path.startswith(f"{_TOOLS}/")):
        return None
    if method in _METHODS_READ:
        trimmed = path.rstrip("/") or "/"
        open_ = trimmed in _READ or path.startswith(_READ_BELOW) or (path.startswith(_FILES) and _is_made_here(path))
        return None if open_ else _NO_ADDRESS
    if method == "POST":
        return None if path.rstrip("/") in _WRITTEN or path.startswith(_WRITTEN_BELOW) else _NO_ADDRESS
    return 405, "This page takes GET and POST requests alone."


def _is_made_here(path: str) -> bool:
    """Whether a path of the file route lies in the folder of this server's downloads."""
    asked = path.removeprefix(_FILES)
    folder = Path(get_upload_folder()).resolve()
    return "\0" not in asked and Path(asked).is_absolute() and folder in Path(asked).resolve().parents


def _bad_length(scope: Scope, most: int) -> Refusal | None:
    """Refusal of a request whose Content-Length is no number or exceeds ``most`` bytes, None for any other."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit():
        return 400, "The Content-Length of a request is a whole number of bytes."
    # Python refuses to read an integer of thousands of digits.
    return _too_large(most) if len(announced) > _LENGTH_DIGITS or int(announced) > most else None


def _too_large(most: int) -> Refusal:
    return 413, f"A request to this page has at most {most:,} bytes; ask for less at once."


async def _read(receive: Receive, most: int) -> bytes | None:
    """Read the body of a request; None if it exceeds ``most`` bytes, and the rest then stays unread."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receiver that returns ``body`` first, then the messages of ``receive``."""
    waiting = [body]

    async def receive_again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_again


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None if ``body`` is none, has NaN, infinity or lone surrogates, or is nested too deeply."""
    try:
        values = json.loads(body)
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


async def _pass(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let Gradio answer; if it raises, log one line and end the response, with status 400 if none has begun."""
    begun = ended = False

    async def watch(message: Message) -> None:
        nonlocal begun, ended
        begun = True
        ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    try:
        await app(scope, receive, watch)
    except Exception as error:
        log.warning("%s %.100r could not be answered: %.200r", scope["method"], scope["path"], error)
        if not begun:
            await PlainTextResponse("The page itself never makes this request.", 400)(scope, receive, send)
        elif not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
