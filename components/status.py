"""The line under the button: what a run is doing, or one sentence about what went wrong."""

from __future__ import annotations

from html import escape

from components.job import Snapshot
from liar.events import Event, Progress
from liar.words import duration


def running(words: str, done: float | None = None) -> str:
    """A sentence with a bar: ``done`` from 0 to 1, None while that is not known."""
    value = "" if done is None else f' value="{done:.3f}"'
    bar = f'<progress max="1"{value} aria-label="Progress of this step"></progress>'
    return f'<div role="status">{bar}{escape(words)}</div>'


def note(words: str) -> str:
    """Something good to know."""
    return f'<div role="status" class="note">{escape(words)}</div>'


def problem(words: str) -> str:
    """Something that went wrong; what was on the page before is still there."""
    return f'<div role="alert" class="problem">{escape(words)}</div>'


def follow(title: str, snapshot: Snapshot) -> str:
    """The status line of a job that is not over: its place in the line, else its step, with the time that is left."""
    left = f" {duration(snapshot.seconds_left).capitalize()} left in all." if snapshot.seconds_left else ""
    if snapshot.state == "waiting":
        before = "one job is" if snapshot.place == 1 else f"{snapshot.place} jobs are"
        return running(f"{title}: {before} before yours.{left}" if snapshot.place else f"{title} begins.{left}")
    words = describe(snapshot.event, left) if snapshot.event else None
    return words or running(f"{title}, {snapshot.seconds:.0f} s so far.{left}")


def describe(event: Event, left: str = "") -> str | None:
    """The status line for an event of a job; None for one that does not move the bar.

    ``left`` is a sentence about the time of the whole job, where it is known; else the time of the step is said.
    """
    if not isinstance(event, Progress):
        return None
    counted = f", {event.done} of {event.total}" if event.total > 1 else ""
    if not left and event.seconds_left:
        left = f" {duration(event.seconds_left).capitalize()} left in this step."
    return running(f"{event.message}{counted}.{left}", event.done / event.total if event.done else None)
