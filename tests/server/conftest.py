"""Fixtures of this folder: the services of a server without models, a queue, and a gate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.job_queue import JobQueue
from tests.server.gate import Gate
from tests.studio import studio

__all__ = ["studio"]


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(max_waiting=8)
    yield queue
    queue.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()
