"""Limit on how often one visitor, and one address, may start a job, so that each leaves time for the others."""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address

import gradio as gr
from limits import parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from liar.errors import QueueFullError
from liar.report.words.sentences import duration

_NETWORK_BITS = 64
"""Leading bits of an IPv6 address that identify a client: a household has all addresses that begin with them."""


class Rate:
    """Counter of starts, with limits as in the library limits: "12 per 10 minutes; 40 per hour"; "": none.

    ``of_session`` is the limit of one visitor, ``of_address`` that of all visitors behind one address, such as a class. A
    program may name another session for each start, so only the second one bounds it.
    """

    def __init__(self, of_session: str = "", of_address: str = "") -> None:
        self._limits = [parse_many(limits) if limits else [] for limits in (of_session, of_address)]
        self._strategy = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, session: str, client: str) -> None:
        """Count one more start of ``session`` at the address ``client``; raise :class:`QueueFullError`, with the time to
        wait, at a limit."""
        names = (("by you", session), ("from your address", client))
        counted = [(limit, *name) for limits, name in zip(self._limits, names, strict=True) for limit in limits]
        spent = [each for each in counted if not self._strategy.test(*each)]
        if spent:
            free = max(self._strategy.get_window_stats(*each).reset_time for each in spent)
            limit, by, _ = spent[0]
            raise QueueFullError(
                f"That was started {limit.amount} times {by} lately; try again in {duration(free - time.time())}."
            )
        for each in counted:
            self._strategy.hit(*each)


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
