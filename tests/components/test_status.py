"""The status line speaks words and lets no markup through."""

from __future__ import annotations

from typing import Any

import pytest

from components import status
from components.job import Snapshot
from liar.events import Calibrated, Event, Progress

NASTY = "<img src=x onerror=alert(1)>"
STEP = Progress("prune", 12, 30, "Pruned and repaired layers.11.ffn", 40.0)


def snapshot(event: Event | None = None, **facts: Any) -> Snapshot:
    known: dict[str, Any] = {
        **{"state": "running", "place": 0, "seconds_left": None, "result": None, "partial": [], "error": None},
        **{"seconds": 7.0, "version": 1},
    }
    return Snapshot(event=event, **{**known, **facts})


def test_progress_says_what_how_far_and_how_long() -> None:
    line = status.describe(STEP)
    assert line is not None
    for part in ("layers.11.ffn", "12 of 30", "About 40 s left in this step", 'value="0.400"'):
        assert part in line


def test_before_the_first_step_there_is_no_estimate() -> None:
    line = status.describe(Progress("load", 0, 1, "Loading demo/smollm2-135m"))
    assert line is not None
    assert "left" not in line
    assert "value=" not in line


def test_other_events_leave_the_line_as_it_is() -> None:
    assert status.describe(Calibrated(12_288)) is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"state": "waiting", "place": 1}, "Applying: one job is before yours."),
        ({"state": "waiting", "place": 3, "seconds_left": 200.0}, "3 jobs are before yours. About 3 min left in all."),
        ({"state": "waiting", "place": 0}, "Applying begins."),
        ({}, "Applying, 7 s so far."),
        ({"seconds_left": 60.0}, "Applying, 7 s so far. About 60 s left in all."),
        ({"event": STEP, "seconds_left": 200.0}, "12 of 30. About 3 min left in all."),
        ({"event": STEP, "seconds_left": 5.0}, "A few seconds left in all."),
        ({"event": STEP}, "About 40 s left in this step."),
        ({"event": Calibrated(12_288)}, "Applying, 7 s so far."),
    ],
)
def test_a_job_says_where_it_stands(facts: dict[str, Any], said: str) -> None:
    assert said in status.follow("Applying", snapshot(**facts))


def test_a_message_cannot_bring_markup() -> None:
    lines = [status.problem(NASTY), status.note(NASTY), status.running(NASTY)]
    lines += [status.follow(NASTY, snapshot()), status.follow("", snapshot(Progress("load", 1, 2, NASTY)))]
    for line in lines:
        assert "<img" not in line
        assert "&lt;img" in line
