"""What a panel is: some components, and how a result fills them."""

from __future__ import annotations

from typing import Any, Protocol

from gradio.blocks import Block

from liar.results import RunResult
from liar.spec import PruneSpec

Updates = dict[Block, Any]
"""What an event handler yields: new values for some components; the others stay as they are."""

_UNSEEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
"""Progress that is merely hidden still runs a clock in every output while the event is at work, sixty times a second."""

QUIET: dict[str, Any] = {"queue": False, **_UNSEEN}
"""How to register an event that answers at once and only fills components."""

HEARD: dict[str, Any] = {"concurrency_limit": None, **_UNSEEN}
"""How to register an event that writes a ``gr.State`` to which somebody listens: Gradio tells of a changed state only after
events that went through its queue, and a quick one waits there for nobody."""


NO_RUN = "No run of this recipe is kept here yet: press “Apply”."


class Panel(Protocol):
    """Shows one side of a run; built once, filled anew for every result."""

    @property
    def outputs(self) -> list[Block]:
        """Every component that :meth:`show` may fill."""

    def show(self, result: RunResult) -> Updates:
        """New values for the panel's components."""

    def blank(self, spec: PruneSpec) -> Updates:
        """What to show of a model that has no run at hand yet; nothing is left of another model."""


def show_all(panels: list[Panel], result: RunResult) -> Updates:
    """One result in every panel."""
    updates: Updates = {}
    for panel in panels:
        updates |= panel.show(result)
    return updates


def blank_all(panels: list[Panel], spec: PruneSpec) -> Updates:
    """Nothing of another model in any panel."""
    updates: Updates = {}
    for panel in panels:
        updates |= panel.blank(spec)
    return updates


def over(below: Updates, above: Updates) -> Updates:
    """``above`` on top of ``below``: a value replaces what was there, properties replace only their like."""
    merged = {**below, **above}
    for component in below.keys() & above.keys():
        if _is_update(below[component]) and _is_update(above[component]):
            merged[component] = {**below[component], **above[component]}
    return merged


def _is_update(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"
