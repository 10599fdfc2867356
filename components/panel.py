"""What a panel is: some components, and how a result fills them."""

from __future__ import annotations

from typing import Any, Protocol

from gradio.blocks import Block

from liar.results import RunResult

Updates = dict[Block, Any]
"""What an event handler yields: new values for some components; the others stay as they are."""

_UNSEEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
"""Progress that is merely hidden still runs a clock in every output while the event is at work, sixty times a second."""

QUIET: dict[str, Any] = {"queue": False, **_UNSEEN}
"""How to register an event that answers at once and only fills components."""

HEARD: dict[str, Any] = {"concurrency_limit": None, **_UNSEEN}
"""How to register an event that writes a ``gr.State`` to which somebody listens: Gradio tells of a changed state only after
events that went through its queue, and a quick one waits there for nobody."""


class Panel(Protocol):
    """Shows one side of a run; built once, filled anew for every result."""

    @property
    def outputs(self) -> list[Block]:
        """Every component that :meth:`show` may fill."""

    def show(self, result: RunResult) -> Updates:
        """New values for the panel's components."""


def show_all(panels: list[Panel], result: RunResult) -> Updates:
    """One result in every panel."""
    updates: Updates = {}
    for panel in panels:
        updates |= panel.show(result)
    return updates
