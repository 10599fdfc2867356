"""Settings of the program at its start."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED = """
import signal, time
from liar.cli.startup import repeat_lost_interrupts
repeat_lost_interrupts()
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

Interrupted()
try:
    time.sleep(20)
except KeyboardInterrupt:
    print("stopped")
"""

FAILED = """
from liar.cli.startup import repeat_lost_interrupts
repeat_lost_interrupts()

class Failing:
    def __del__(self):
        raise ValueError("in a destructor")

Failing()
"""


def test_an_interrupt_in_a_destructor_still_stops_the_program() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n"
    assert done.stderr == ""


def test_other_exceptions_in_a_destructor_are_reported_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", FAILED], check=False, capture_output=True, text=True, timeout=60)
    assert "ValueError: in a destructor" in done.stderr
