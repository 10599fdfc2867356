"""The way back from a login: the whole recipe and view of the page."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from starlette.responses import JSONResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from server.login import WholeTarget


async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))(scope, receive, send)


@pytest.mark.parametrize("path", ["/login/huggingface", "/logout"])
@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("_target_url=/?model=demo/x&layout=full&site=layers.3.ffn", "/?model=demo/x&layout=full&site=layers.3.ffn"),
        ("_target_url=/?model=demo%2Fx&edits=a%3Ab", "/?model=demo%2Fx&edits=a%3Ab"),
        ("_target_url=/", "/"),
        ("_target_url=%2F%3Fmodel%3Dx%26layout%3Dfull", "/?model=x&layout=full"),
    ],
)
def test_no_choice_of_the_link_is_lost(path: str, query: str, target: str) -> None:
    assert TestClient(WholeTarget(gradio)).get(f"{path}?{query}").json() == [["_target_url", target]]


def test_other_addresses_and_gradios_own_retry_stay_as_they_are() -> None:
    client = TestClient(WholeTarget(gradio))
    assert client.get("/?_target_url=/?a=b&c=d").json() == [["_target_url", "/?a=b"], ["c", "d"]]
    retry = "_nb_redirects=1&_target_url=%2F%3Fa%3Db"
    assert client.get(f"/login/huggingface?{retry}").json() == [["_nb_redirects", "1"], ["_target_url", "/?a=b"]]
