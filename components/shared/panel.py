"""Protocol of a panel: some components, and how a result fills them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import gradio as gr
from gradio.blocks import Block
from gradio.data_classes import GradioModel
from gradio.utils import is_prop_update

from liar.results import RunResult
from liar.spec import PruneSpec

Updates = dict[Block, Any]
"""New values for some components, as an event handler yields them; the others stay unchanged."""

_NO_PROGRESS: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
"""Progress on no output, since hidden progress still runs a clock in each output, sixty times a second."""

UNQUEUED: dict[str, Any] = {"queue": False, **_NO_PROGRESS}
"""Options of an event that answers at once, without Gradio's queue, and writes no ``gr.State`` with listeners."""

QUEUED: dict[str, Any] = {"concurrency_limit": None, **_NO_PROGRESS}
"""Options of an event in Gradio's queue: it may write a ``gr.State`` with listeners, since Gradio reports a changed state
only after an event of its queue. The concurrency limit is None, so that the event is not delayed."""


def states_first(outputs: Iterable[Block]) -> list[Block]:
    """``outputs`` of an event, its states before all else.

    Gradio writes adjacent states at once; between two that other outputs separate, an event that is answered meanwhile
    would read the new one and the old other.
    """
    return sorted(outputs, key=lambda block: not isinstance(block, gr.State))


NO_RUN = "No run of this recipe is kept here yet: press “Measure it”."


class Panel(Protocol):
    """Part of the page that shows one aspect of a run; built once, refilled for every result."""

    @property
    def outputs(self) -> list[Block]:
        """Every component that :meth:`show` may fill."""

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        """New values for the panel's components; without a ``run`` of the model of ``spec``, nothing of another is left."""


def begin_with(updates: Updates) -> None:
    """Give components of a page that is being built the values that an event with these ``updates`` would give them."""
    component: Any
    for component, new in updates.items():
        properties = new if is_prop_update(new) else {"value": new}
        for name in properties.keys() - {"__type__", "value"}:
            setattr(component, name, properties[name])
        if "value" in properties:
            value = component.postprocess(properties["value"])
            component.value = value.model_dump() if isinstance(value, GradioModel) else value


def over(below: Updates, above: Updates) -> Updates:
    """Merge two sets of updates: ``above`` wins, but two ``gr.update`` of one component are merged by property."""
    merged = {**below, **above}
    for component in below.keys() & above.keys():
        if is_prop_update(below[component]) and is_prop_update(above[component]):
            merged[component] = {**below[component], **above[component]}
    return merged
