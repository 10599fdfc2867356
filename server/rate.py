"""Limit on how often one client may start a job, so that one visitor leaves time for the others."""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address

import gradio as gr
from limits import parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from liar.errors import QueueFullError
from liar.report.sentences import duration

_NETWORK_BITS = 64
"""Leading bits of an IPv6 address that identify a client: a household has all addresses that begin with them."""


class Rate:
    """Counter of starts by client, with ``limits`` as in the library limits: "12 per 10 minutes; 40 per hour"."""

    def __init__(self, limits: str = "") -> None:
        self._limits = parse_many(limits) if limits else []
        self._strategy = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, client: str) -> None:
        """Count one more start of ``client``; raise :class:`QueueFullError`, with the time to wait, at a limit."""
        spent = [limit for limit in self._limits if not self._strategy.test(limit, client)]
        if spent:
            free = max(self._strategy.get_window_stats(limit, client).reset_time for limit in spent)
            wait = duration(free - time.time())
            raise QueueFullError(
                f"That was started {spent[0].amount} times from your address lately; try again in {wait}."
            )
        for limit in self._limits:
            self._strategy.hit(limit, client)


def client_of(request: gr.Request) -> str:
    """Address of the client of ``request`` (IPv6: its network), "" if unknown."""
    client = request.client
    if client is None:
        return ""
    try:
        address = ip_address(client.host)
    except ValueError:
        return str(client.host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> (128 - _NETWORK_BITS))
    return str(address)
