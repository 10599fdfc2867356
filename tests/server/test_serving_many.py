"""Two pages, each in its own process, with one folder of runs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from liar.store import RunStore
from tests.browser.conftest import ROOT, serving
from tests.hostile.client import SMALL, Client, first_traceback

pytestmark = pytest.mark.demo

STILL = str(ROOT / "tests" / "browser" / "still_page.py")


def keys(client: Client) -> set[str]:
    """Keys of the runs that the page lists."""
    answer = client.call("runs", {}).text
    return {run["key"] for run in json.loads(answer[answer.index("data: ") + 6 :].splitlines()[0])[0]}


def test_each_page_shows_what_the_other_did(tmp_path: Path) -> None:
    """Pages without shipped runs, and without torch until a run needs it."""
    runs, folders = tmp_path / "runs", (tmp_path / "one", tmp_path / "other")
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir()
        command = [STILL, str(tmp_path / "none")]
        pages = [stack.enter_context(serving(command, folder, LIAR_RUNS=str(runs))) for folder in folders]
        one, other = (Client(page.port) for page in pages)
        assert keys(one) == keys(other) == set()
        assert '"done"' in one.call("prune", SMALL, seconds=90).text
        assert len(keys(one)) == 1
        assert keys(one) == keys(other)
        assert "This run was stored." in other.call("prune", SMALL).text
        RunStore(runs).delete(*keys(other))
        assert keys(one) == keys(other) == set()
    assert [first_traceback(page.log) for page in pages] == ["", ""]
