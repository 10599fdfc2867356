"""The public endpoints of the page, called through ``gradio_client``."""

from __future__ import annotations

import ast
import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from liar import PruneSpec
from liar.results import VARIANTS, RunResult
from liar.spec import ALLOCATIONS, CRITERIA
from tests.browser.conftest import ROOT, Server, still_run
from tests.hostile.client import SMALL


@pytest.fixture(scope="module")
def still(still_server: Server) -> Client:
    return Client(still_server.url, verbose=False)


def test_these_endpoints_and_no_others_are_offered(still: Client) -> None:
    named = still.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/forecast", "/prune", "/runs"}
    for endpoint in ("/prune", "/forecast"):
        parameters = named[endpoint]["parameters"]
        assert [parameter["parameter_name"] for parameter in parameters] == list(PruneSpec.model_fields)
        assert all(parameter["parameter_has_default"] for parameter in parameters)
        types = {parameter["parameter_name"]: parameter["type"] for parameter in parameters}
        assert types["criterion"] == {"enum": list(CRITERIA)}
        assert types["ratio"] == {"type": "number"}
        assert types["evaluate"] == {"type": "array", "items": {"type": "string"}}


def test_a_forecast_needs_no_model(still: Client) -> None:
    found = still.predict(model="demo/smollm2-135m", ratio=0.3, api_name="/forecast")
    spec = PruneSpec(**found["spec"])
    assert (spec.model, spec.ratio) == ("demo/smollm2-135m", 0.3)
    assert len(found["sites"]) == 30
    assert all(0 <= site["error"]["least-squares"] <= site["error"]["none"] for site in found["sites"])
    assert any(site["kept"] < site["units"] and site["error"]["least-squares"] > 0 for site in found["sites"])
    assert found["totals"]["parameters_after"] < found["totals"]["parameters_before"]


def test_stored_runs_are_listed_and_come_at_once(still: Client) -> None:
    stored = still_run()
    assert [run["key"] for run in still.predict(api_name="/runs")] == [stored.spec.key]
    answer = still.predict(**stored.spec.model_dump(mode="json"), api_name="/prune")
    assert RunResult(**answer["result"]) == stored


@pytest.mark.parametrize("endpoint", ["/forecast", "/prune"])
@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"ratio": 99}, "ratio"),
        ({"ratio": "a lot"}, "ratio"),
        ({"model": [1, 2]}, "model"),
        ({"targets": "<script>"}, "targets"),
        ({"seed": {"a": 1}}, "seed"),
    ],
)
def test_a_bad_recipe_is_one_sentence(still: Client, endpoint: str, recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(AppError, match=words):
        still.predict(**recipe, api_name=endpoint)


@pytest.mark.demo
def test_the_example_of_the_docs_runs(server: Server) -> None:
    (source,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "page.md").read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(source.replace("http://127.0.0.1:7860", server.url), names)
    assert names["answer"]["state"] == "done"


def test_a_forecast_of_a_missing_site_is_one_sentence(still: Client) -> None:
    with pytest.raises(AppError, match=r"layers\.99\.ffn"):
        still.predict(edits=["layers.99.ffn:ratio=0"], api_name="/forecast")


@pytest.mark.demo
def test_a_run_reports_progress_and_ends_with_its_result(server: Server) -> None:
    job = Client(server.url, verbose=False).submit(**SMALL, seed=77, api_name="/prune")
    result = RunResult(**job.result(timeout=120)["result"])
    assert result.spec.seed == 77
    assert [item.variant for item in result.evaluations] == list(VARIANTS)
    states = [answer["state"] for answer in job.outputs()]
    assert states[-1] == "done"
    assert set(states[:-1]) <= {"waiting", "running"}
    assert len(states) > 1


def test_an_assistant_finds_the_endpoints_as_described_tools(still_server: Server) -> None:
    address = f"{still_server.url}/gradio_api/mcp/"

    async def asked() -> tuple[dict[str, Any], Any, Any]:
        async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            found = {tool.name: tool for tool in (await session.list_tools()).tools}
            good = await session.call_tool("forecast", {"model": "demo/smollm2-135m", "ratio": 0.3})
            return found, good, await session.call_tool("forecast", {"ratio": 99})

    with ThreadPoolExecutor(1) as thread:  # since the main one may be running the event loop of a browser
        found, good, bad = thread.submit(asyncio.run, asked()).result()
    assert set(found) == {"forecast", "prune", "runs"}
    schema = found["prune"].inputSchema["properties"]
    assert list(schema) == list(PruneSpec.model_fields)
    assert all(parameter["description"] for parameter in schema.values())
    assert schema["allocation"]["enum"] == list(ALLOCATIONS)
    assert not good.isError
    assert len(ast.literal_eval(good.content[0].text)["sites"]) == 30  # Gradio writes Python, not JSON
    assert bad.isError
    assert "ratio" in bad.content[0].text
