"""How often one client may start something, so that one impatient visitor leaves time for the others."""

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
"""What a household gets of IPv6: whoever has one address has them all."""


class Rate:
    """Counts starts by client. ``limits`` is as in the library of that name, such as "12 per 10 minutes; 40 per hour"."""

    def __init__(self, limits: str = "") -> None:
        self._limits = parse_many(limits) if limits else []
        self._strategy = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, client: str) -> None:
        """One more start of ``client``; raises :class:`QueueFullError`, which says when to come back."""
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
    """The network that ``request`` came from, as far as the server knows it."""
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
