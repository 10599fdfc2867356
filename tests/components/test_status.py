"""The status line: its sentences, and texts that never become markup."""

from __future__ import annotations

from typing import Any

import pytest

from components.shared import status
from liar.events import Progress
from server.job import Snapshot

NASTY = "<img src=x onerror=alert(1)>"
STEP = Progress("prune", 12, 30, "Pruned and repaired layers.11.ffn")


def snapshot(event: Progress | None = None, title: str = "Applying", **facts: Any) -> Snapshot:
    return Snapshot("id", title, event=event, **{"state": "running", "seconds": 7.0, **facts})


@pytest.mark.parametrize("step", [Progress("load", 0, 1, "Loading demo/smollm2-135m"), STEP])
def test_the_bar_is_open_until_the_share_of_the_whole_job_is_known(step: Progress) -> None:
    line = status.follow(snapshot(step))
    assert "left" not in line
    assert "value=" not in line


def test_pieces_of_a_job_are_counted_before_the_step() -> None:
    step = Progress("prune", 2, 4, "Ratio 50 %: Pruned and repaired layers.0.ffn", share=0.5)
    line = status.follow(snapshot(step, share=0.5, seconds_left=60.0), "runs")
    assert "2 of 4 runs done. Ratio 50 %: Pruned and repaired layers.0.ffn. About 60 s left in all." in line


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("done", "All there."),
        ("stopped", "Ended early."),
        ("left", "another visitor wants the same"),
        ("failed", "the log of the server has more"),
    ],
)
def test_the_end_of_a_job_is_one_sentence(state: str, words: str) -> None:
    assert words in status.end(snapshot(state=state), done="All there.", stopped="Ended early.")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"state": "waiting", "place": 1}, "Applying: one job is before yours."),
        ({"state": "waiting", "place": 3, "seconds_left": 200.0}, "3 jobs are before yours. About 3 min left in all."),
        ({"state": "waiting", "place": 0}, "Applying begins."),
        ({}, "Applying, 7 s so far."),
        ({"seconds_left": 60.0}, "Applying, 7 s so far. About 60 s left in all."),
        ({"event": STEP, "seconds_left": 200.0}, "12 of 30. About 3 min left in all."),
        ({"event": STEP, "share": 0.7}, 'value="0.700"'),
        ({"event": STEP, "seconds_left": 200.0, "stopping": True}, ">Stopping after this step…</div>"),
        ({"event": STEP, "seconds_left": 5.0}, "A few seconds left in all."),
        ({"event": STEP}, "Pruned and repaired layers.11.ffn, 12 of 30.<"),
    ],
)
def test_the_line_of_a_job_has_its_place_or_step(facts: dict[str, Any], words: str) -> None:
    assert words in status.follow(snapshot(**facts))


def test_a_message_is_escaped() -> None:
    lines = [status.problem(NASTY), status.note(NASTY), status.running(NASTY)]
    lines += [status.follow(snapshot(title=NASTY)), status.follow(snapshot(Progress("load", 1, 2, NASTY)))]
    for line in lines:
        assert "<img" not in line
        assert "&lt;img" in line
