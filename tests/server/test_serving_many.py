"""Two pages, each in its own process, with one folder of runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from liar.store import RunStore
from tests.hostile.client import SMALL, Client, Request, first_traceback, free_port

pytestmark = pytest.mark.demo

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(folder: Path, name: str) -> Iterator[Client]:
    """A page without shipped runs, and without torch until a run needs it."""
    client = Client(free_port())
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(client.port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "LIAR_RUNS": str(folder / "runs"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(ROOT / "tests" / "browser" / "still_page.py"), str(folder / "none")]
    with (folder / f"log-{name}").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while client.send(Request("page", "GET", "/"), seconds=5).status != 200:
                assert process.poll() is None
                assert time.monotonic() < deadline, (folder / f"log-{name}").read_text()
                time.sleep(0.2)
            yield client
        finally:
            process.terminate()
            process.wait(20)


def keys(client: Client) -> set[str]:
    """Keys of the runs that the page lists."""
    answer = client.call("runs", {}).text
    return {run["key"] for run in json.loads(answer[answer.index("data: ") + 6 :].splitlines()[0])[0]}


def test_each_page_shows_what_the_other_did(tmp_path: Path) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(serving(tmp_path, name)) for name in ("one", "other"))
        assert keys(one) == keys(other) == set()
        assert '"done"' in one.call("prune", SMALL, seconds=90).text
        assert len(keys(one)) == 1
        assert keys(one) == keys(other)
        assert "This run was stored." in other.call("prune", SMALL).text
        RunStore(tmp_path / "runs").delete(*keys(other))
        assert keys(one) == keys(other) == set()
    for name in ("one", "other"):
        assert first_traceback(tmp_path / f"log-{name}") == ""
