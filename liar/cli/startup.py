"""Settings of a program before it loads torch and transformers: how threads wait, that an interrupt is never lost, and which
of several processes this one is.

A library should not change its environment, so nothing here runs on import.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading

SPINS = 10_000
"""Rounds that an idle thread spins before it sleeps, some tens of microseconds. If threads sleep after every loop,
waking them up takes a tenth of a run; if they spin for milliseconds, the default, they keep a core from other work."""

_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun and accelerate set for each process that they launch."""


def launched_processes() -> int:
    """Number of processes that were launched together."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _LAUNCHED) else 1


def is_first_process() -> bool:
    """Whether this process prints and writes."""
    return launched_processes() == 1 or os.environ["RANK"] == "0"


def settle_threads() -> None:
    """Let idle threads of torch sleep soon. A value set by the user stays. Only GNU OpenMP reads the variable."""
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def repeat_lost_interrupts() -> None:
    """Interrupt again if Ctrl-C arrives in a destructor or another callback, where Python prints exceptions and goes on.

    The second interrupt comes from a timer, because here it would be lost as well.
    """
    report = sys.unraisablehook

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            report(lost)

    sys.unraisablehook = repeat
