"""Limit on how often one visitor and one address may start a job."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from liar.errors import QueueFullError
from server.job_queue import JobQueue
from server.profile import PUBLIC
from server.rate import Rate, client_of
from tests.server.conftest import Gate


def test_the_next_start_is_refused_with_the_time_to_wait() -> None:
    rate = Rate("2 per 10 minutes")
    rate.spend("anna", "a")
    rate.spend("anna", "a")
    with pytest.raises(QueueFullError, match=r"2 times by you .* try again in about 10 min"):
        rate.spend("anna", "a")
    rate.spend("ben", "a")


def test_a_refused_start_does_not_count() -> None:
    rate = Rate("1 per second; 2 per hour")
    rate.spend("anna", "a")
    for _ in range(5):
        with pytest.raises(QueueFullError, match="a few seconds"):
            rate.spend("anna", "a")


def test_an_address_has_a_bound_of_its_own_however_many_sessions_it_names() -> None:
    rate = Rate("2 per hour", "3 per hour")
    for session in ("anna", "anna", "ben"):
        rate.spend(session, "a")
    with pytest.raises(QueueFullError, match="3 times from your address"):
        rate.spend("carl", "a")
    rate.spend("carl", "b")


def test_a_class_behind_one_address_can_work_on_a_public_page() -> None:
    """Thirty visitors press "Measure it" at once, and three times more within the hour; one visitor alone cannot."""
    rate = Rate(PUBLIC.starts, PUBLIC.starts_of_address)
    for _ in range(4):
        for pupil in range(30):
            rate.spend(f"pupil {pupil}", "school")
    assert PUBLIC.waiting_jobs >= 29
    for _ in range(12):
        rate.spend("alone", "home")
    with pytest.raises(QueueFullError, match="12 times by you"):
        rate.spend("alone", "home")
    unlimited = Rate()
    for _ in range(1000):
        unlimited.spend("alone", "home")


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
    hosts = [None if host is None else SimpleNamespace(host=host) for host in (one, other)]
    requests: list[Any] = [SimpleNamespace(client=host) for host in hosts]
    first, second = map(client_of, requests)
    assert (first == second) is same


def test_a_queue_counts_the_jobs_that_are_new(gate: Gate) -> None:
    with closing(JobQueue(rate=Rate(of_address="2 per hour"))) as queue:
        for key in ("one", "one", "two", "two"):  # a job that waits or runs already is joined
            queue.submit(f"{key} visitor", key, "Waiting", gate, client="a")
        with pytest.raises(QueueFullError, match="try again"):
            queue.submit("visitor", "three", "Waiting", gate, client="a")
        queue.submit("visitor", "three", "Waiting", gate, client="b")
        gate.open.set()
