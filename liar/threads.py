"""How the threads of torch wait for each other; to be said before torch is loaded."""

from __future__ import annotations

import os

SPINS = 10_000
"""Rounds, some tens of microseconds. A thread that sleeps after every loop costs a run a tenth of its time in waking it up;
one that stays awake for milliseconds, as is the default, takes a core from whatever else wants to work."""


def settle_threads() -> None:
    """For programs; a library leaves the environment alone. What the user has set stays. Only GNU's OpenMP listens."""
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
