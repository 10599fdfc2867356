"""Settings of the program at its start."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    time.sleep(1)
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


@pytest.mark.parametrize(
    ("program", "printed", "error"), [(INTERRUPTED, "stopped\n", ""), (FAILED, "", "ValueError: in a destructor")]
)
def test_an_interrupt_in_a_destructor_stops_the_program_and_others_are_reported(
    program: str, printed: str, error: str
) -> None:
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == printed
    assert error in done.stderr if error else done.stderr == ""
