"""Settings of threads (before any test loads torch) and of property tests; marks of long and of browser tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from liar.cli.startup import settle_threads

LONG = ("fresh", "hostile", "cli/test_processes.py", "test_demo_models.py", "server/test_serving_many.py")
"""Folders and files whose tests are all marked long; so are those of ``browser`` except the files of ``TOUR``."""
TOUR = ("test_first_screen.py", "test_address.py")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

settle_threads()
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores, which is faster than sharing each tiny product
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(here)
        if path.parts[0] == "browser":
            item.add_marker(pytest.mark.browser)
        if path.as_posix().startswith(LONG) or (path.parts[0] == "browser" and path.name not in TOUR):
            item.add_marker(pytest.mark.long)
    # Files of the browser are many and short: as the last ones they let both processes end together.
    items.sort(key=lambda item: "browser" in item.keywords)


def pytest_collection_finish() -> None:
    """Leave the imported modules out of garbage collections: a job queue does one after each job."""
    gc.collect()
    gc.freeze()
