"""The status line speaks words and lets no markup through."""

from __future__ import annotations

from components import status
from liar.events import Calibrated, Progress


def test_progress_says_what_how_far_and_how_long() -> None:
    line = status.describe(Progress("prune", 12, 30, "Pruned and repaired layers.11.ffn", 40.0))
    assert line is not None
    for part in ("layers.11.ffn", "12 of 30", "about 40 s left", 'value="0.400"'):
        assert part in line


def test_before_the_first_step_there_is_no_estimate() -> None:
    line = status.describe(Progress("load", 0, 1, "Loading demo/smollm2-135m"))
    assert line is not None
    assert "left" not in line
    assert "value=" not in line


def test_other_events_leave_the_line_as_it_is() -> None:
    assert status.describe(Calibrated(12_288)) is None


def test_a_message_cannot_bring_markup() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    for line in (status.problem(nasty), status.note(nasty), status.running(nasty)):
        assert "<img" not in line
