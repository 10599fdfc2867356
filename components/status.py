"""The line under the button: what a run is doing, or one sentence about what went wrong."""

from __future__ import annotations

from html import escape

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


def describe(event: Event) -> str | None:
    """The status line for an event of a run; None for one that does not move the bar."""
    if not isinstance(event, Progress):
        return None
    counted = f", {event.done} of {event.total}" if event.total > 1 else ""
    left = f"; {duration(event.seconds_left)} left in this step" if event.seconds_left else ""
    return running(f"{event.message}{counted}{left}.", event.done / event.total if event.done else None)
