"""Limit on how often one client may start a job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from liar.errors import QueueFullError
from server.job import HandOut
from server.job_queue import JobQueue
from server.rate import Rate, client_of


def _request(host: str | None) -> Any:
    return SimpleNamespace(client=None if host is None else SimpleNamespace(host=host))


def test_the_next_start_is_refused_with_the_time_to_wait() -> None:
    rate = Rate("2 per 10 minutes")
    rate.spend("a")
    rate.spend("a")
    with pytest.raises(QueueFullError, match=r"2 times .* try again in about 10 min"):
        rate.spend("a")
    rate.spend("b")


def test_a_refused_start_does_not_count() -> None:
    rate = Rate("1 per second; 2 per hour")
    rate.spend("a")
    for _ in range(5):
        with pytest.raises(QueueFullError, match="a few seconds"):
            rate.spend("a")


def test_no_limit_is_no_limit() -> None:
    rate = Rate()
    for _ in range(1000):
        rate.spend("a")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("a socket", "a socket", True),
        (None, None, True),
    ],
)
def test_a_client_is_an_address_and_a_household_of_ipv6(one: str | None, other: str | None, same: bool) -> None:
    assert (client_of(_request(one)) == client_of(_request(other))) is same


def test_a_queue_counts_the_jobs_that_are_new() -> None:
    queue = JobQueue(starts="2 per hour")
    try:
        for key in ("one", "one", "two", "two"):  # a job that waits or runs already is joined
            queue.submit(f"{key} visitor", key, "Waiting", lambda: iter(_endless()), client="a")
        with pytest.raises(QueueFullError, match="try again"):
            queue.submit("visitor", "three", "Waiting", lambda: iter(_endless()), client="a")
        queue.submit("visitor", "three", "Waiting", lambda: iter(_endless()), client="b")
    finally:
        queue.close()


def _endless() -> Any:
    import time

    while True:
        time.sleep(0.01)
        yield HandOut("step")
