"""The request filter: which requests reach Gradio, and the answers to the others."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from server.profile import PUBLIC
from server.request_filter import RequestFilter

API = "/gradio_api"
SMALL = PUBLIC.model_copy(update={"body_bytes": 100, "unread": 2})


async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand-in for Gradio: return path and body, and fail at the addresses of two tests."""
    body = b""
    if scope["method"] == "POST":
        message = await receive()
        body = message["body"]
        assert not message["more_body"]
    if scope["path"].endswith("/broken"):
        raise KeyError("broken")
    if scope["path"].endswith("/half"):

        async def half() -> Any:
            yield "begun"
            raise KeyError("half")

        await StreamingResponse(half())(scope, receive, send)
        return
    await JSONResponse({"path": scope["path"], "body": body.decode()})(scope, receive, send)


@pytest.fixture
def client() -> TestClient:
    return client_of()


def client_of(tools: bool = False, login: bool = False, **unread: Any) -> TestClient:
    """A client of a page that may be an MCP server or have a login; ``unread`` are queues of answers, by session."""
    queue = SimpleNamespace(pending_messages_per_session=unread)
    page: Any = SimpleNamespace(_queue=queue, mcp_server=tools, expects_oauth=login)
    return TestClient(RequestFilter(gradio, page, SMALL))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_tools_have_an_address_on_an_mcp_server_alone(method: str) -> None:
    asked = {"content": "{}"} if method == "POST" else {}
    server = client_of(tools=True)
    for path in (f"{API}/mcp", f"{API}/mcp/"):
        assert server.request(method, path, **asked).status_code == 200
        assert client_of().request(method, path, **asked).status_code in (404, 405)
    assert server.request(method, f"{API}/mcpx", **asked).status_code in (404, 405)
    assert server.request("PUT", f"{API}/mcp/").status_code == 405


@pytest.mark.parametrize("path", ["/login/huggingface", "/login/callback", "/logout"])
def test_a_login_has_an_address_on_a_page_that_offers_one_alone(path: str) -> None:
    assert client_of(login=True).get(path).status_code == 200
    assert client_of(login=True).post(path, json={}).status_code == 404
    assert client_of().get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/config", "/config/", "/assets/a.js", f"{API}/info", f"{API}/heartbeat/x"])
def test_what_a_page_reads_is_let_through(client: TestClient, path: str) -> None:
    assert client.get(path).json()["path"] == path
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", [f"{API}/queue/join", f"{API}/run/predict", f"{API}/call/prune", f"{API}/cancel"])
def test_what_a_page_asks_is_let_through_as_it_was(client: TestClient, path: str) -> None:
    body = '{"data": ["ä"], "session_hash": "abc-1"}'
    assert client.post(path, content=body).json() == {"path": path, "body": body}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{API}/upload", 404),
        ("POST", f"{API}/upload", 404),
        ("POST", f"{API}/component_server/", 404),
        ("GET", f"{API}/proxy=http://127.0.0.1", 404),
        ("GET", f"{API}/deep_link", 404),
        ("GET", "/monitoring", 404),
        ("POST", "/", 404),
        ("DELETE", "/", 405),
        ("OPTIONS", f"{API}/queue/join", 405),
    ],
)
def test_every_other_address_is_closed(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_only_downloads_of_this_server_are_files(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(mine))
    (mine / "link").symlink_to(other)
    assert client.get(f"{API}/file={mine}/runs/run.json").status_code == 200
    for path in (other / "x", f"{mine}/../other/x", mine / "link" / "x", mine, "mine/x", "http://127.0.0.1/x", "%00"):
        assert client.get(f"{API}/file={path}").status_code == 404


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "\xff", '{"session_hash": 1}', "{" * 90]
    + [f'{{"session_hash": "{session}"}}' for session in ("", "../x", "x" * 65, "ä")],
)
def test_a_body_is_a_plain_object(client: TestClient, body: str) -> None:
    answer = client.post(f"{API}/queue/join", content=body.encode("latin1"))
    assert answer.status_code == 400
    assert answer.text.endswith(".")


def test_a_body_has_a_size(client: TestClient) -> None:
    large = ('{"a": "' + "x" * 100 + '"}').encode()
    assert client.post(f"{API}/queue/join", content=large).status_code == 413
    assert client.post(f"{API}/queue/join", content=iter([large[:60], large[60:]])).status_code == 413
    assert client.post(f"{API}/queue/join", content=iter([b'{"a": ', b"1}"])).json()["body"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("length", "status"),
    [("ten", 400), ("-1", 400), ("1.5", 400), ("", 400), ("101", 413), ("9" * 5_000, 413), ("8", 200)],
)
def test_a_content_length_is_a_number_of_bytes(client: TestClient, length: str, status: int) -> None:
    answer = client.post(f"{API}/queue/join", content=b'{"a": 1}', headers={"content-length": length})
    assert answer.status_code == status
    if status == 400:
        assert answer.text == "The Content-Length of a request is a whole number of bytes."


def test_a_session_with_unread_answers_is_refused() -> None:
    client = client_of(abc=SimpleNamespace(qsize=lambda: SMALL.unread + 1))
    assert client.post(f"{API}/queue/join", json={"session_hash": "abc"}).status_code == 429
    assert client.post(f"{API}/queue/join", json={"session_hash": "abd"}).status_code == 200


def test_a_failing_route_is_one_line_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert client.post(f"{API}/call/broken", json={}).status_code == 400
        assert client.get(f"{API}/call/x/half").text == "begun"
    assert [record.exc_info for record in caplog.records] == [None, None]
    assert all("\n" not in record.message for record in caplog.records)
