"""What a program sets before it loads torch and transformers: how threads wait, and which libraries are quiet.

A library leaves environment and logging alone, so nothing here runs on import.
"""

from __future__ import annotations

import logging
import os

SPINS = 10_000
"""Rounds, some tens of microseconds. A thread that sleeps after every loop costs a run a tenth of its time in waking it up;
one that stays awake for milliseconds, as is the default, takes a core from whatever else wants to work."""

_VERBOSE = ("torchao", "torch.utils._pytree")
"""transformers loads torchao, which reports each of its CUDA kernels that this machine has no use for."""


def settle_threads() -> None:
    """Let torch's threads wait for each other by sleeping soon. What the user has set stays. Only GNU's OpenMP reads it."""
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def quiet_libraries() -> None:
    """Keep libraries from logging, while they are loaded, what no user of this program can act on."""
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.ERROR)
