"""The status line under the button: progress of a job, its end, or one sentence about an error."""

from __future__ import annotations

from html import escape

from liar.report.words.sentences import duration
from server.job import Snapshot


def running(words: str, done: float | None = None) -> str:
    """HTML of a sentence with a progress bar: ``done`` from 0 to 1, None if unknown."""
    value = "" if done is None else f' value="{done:.3f}"'
    bar = f'<progress max="1"{value} aria-label="Progress of the job"></progress>'
    return f'<div role="status">{bar}{escape(words)}</div>'


def note(words: str) -> str:
    """HTML of a neutral message."""
    return f'<div role="status" class="note">{escape(words)}</div>'


def problem(words: str) -> str:
    """HTML of an error message; the rest of the page stays unchanged."""
    return f'<div role="alert" class="problem">{escape(words)}</div>'


def follow(snapshot: Snapshot, pieces: str = "") -> str:
    """Status line of a job that has not ended: its place in the queue or its current step, and the time left.

    If the job counts ``pieces`` ("runs"), the line has the number of those done.
    """
    if snapshot.stopping:
        return running("Stopping after this step…", snapshot.share)
    left = f" {duration(snapshot.seconds_left).capitalize()} left in all." if snapshot.seconds_left else ""
    title, event = snapshot.title, snapshot.event
    if snapshot.state == "waiting":
        before = "one job is" if snapshot.place == 1 else f"{snapshot.place} jobs are"
        return running(f"{title}: {before} before yours.{left}" if snapshot.place else f"{title} begins.{left}")
    if event is None:
        return running(f"{title}, {snapshot.seconds:.0f} s so far.{left}")
    step = f"{event.message}, {event.done} of {event.total}" if event.total > 1 else event.message
    if pieces:
        step = f"{event.done} of {event.total} {pieces} done. {event.message}"
    return running(f"{step}.{left}", snapshot.share)


def end(snapshot: Snapshot, done: str = "Done.", stopped: str = "Stopped.") -> str:
    """Status line of a job that has ended, at least for this visitor."""
    if snapshot.state == "failed":
        return problem(snapshot.error or "The job failed; the log of the server has more.")
    if snapshot.state == "left":
        return note("Stopped for you; another visitor wants the same, so the job itself goes on.")
    return note(stopped if snapshot.state == "stopped" else done)
