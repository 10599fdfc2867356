"""Settings of a program before it loads torch and transformers: how threads wait, and which libraries do not log.

A library should not change environment or logging, so nothing here runs on import.
"""

from __future__ import annotations

import logging
import os

SPINS = 10_000
"""Rounds that an idle thread spins before it sleeps, some tens of microseconds. If threads sleep after every loop,
waking them up takes a tenth of a run; if they spin for milliseconds, the default, they keep a core from other work."""

_VERBOSE = ("torchao", "torch.utils._pytree")
"""Loggers to silence: transformers loads torchao, which reports each CUDA kernel that this machine cannot use."""


def settle_threads() -> None:
    """Let idle threads of torch sleep soon. A value set by the user stays. Only GNU OpenMP reads the variable."""
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def quiet_libraries() -> None:
    """Suppress messages that libraries log while they load and that no user of this program can act on."""
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.ERROR)
