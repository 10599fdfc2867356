"""What the page shows before anybody pressed a button: a finished run, or what the address asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import gradio as gr
from gradio.blocks import Block

from components import status
from components.address import read_address
from components.explorer import Explorer
from components.panel import Updates
from components.recipe import measured_on_its_task
from components.simple_or_full import mark
from liar.errors import LiarError
from liar.report.view import Layout, View
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import RunStore


def first_run(store: RunStore, spec: PruneSpec) -> RunResult | None:
    """The finished run of the default spec, else any run that is kept."""
    return store.find(spec) or next(iter(store.runs()), None)


class Opening:
    """Follows a link: fills recipe, view and panels from the query string of the address."""

    def __init__(self, explorer: Explorer, tabs: gr.Tabs, layout: gr.Radio, marker: gr.HTML) -> None:
        self.explorer, self.tabs, self.layout, self.marker = explorer, tabs, layout, marker

    @property
    def outputs(self) -> list[Block]:
        return [self.explorer.bus.view, self.tabs, self.layout, self.marker, *self.explorer.outputs]

    def open(self, remembered: str | None, request: gr.Request) -> Updates:
        # A choice may be named more than once, and every time counts.
        return self.follow(request.query_params.multi_items(), remembered)

    def follow(self, pairs: Iterable[tuple[str, str]], remembered: str | None = None) -> Updates:
        """Updates for a link. A bare address changes no more than the layout that this visitor ``remembered``, but shows a
        forecast where no run is stored."""
        named = list(pairs)
        spec, view, complaint = read_address(named)
        if remembered in ("simple", "full") and "layout" not in dict(named):
            view = view.model_copy(update={"layout": cast(Layout, remembered)})
        updates: Updates = {
            self.explorer.bus.view: view,
            self.tabs: gr.update(selected=mark(view)["tab"]),
            self.layout: view.layout,
            self.marker: mark(view),
        }
        if spec is not None:
            try:
                self.explorer.studio.profile.check(spec)
            except LiarError as error:
                spec, complaint = None, str(error)
        if spec is not None or view != View(layout=view.layout) or not self.explorer.bus.shown.value:
            spec = self.explorer.bus.spec.value if spec is None else measured_on_its_task(spec)
            updates |= self._draw(spec, view)
        if complaint is not None:
            updates[self.explorer.line] = status.problem(complaint)
        return updates

    def _draw(self, spec: PruneSpec, view: View) -> Updates:
        """The page was built with a run, which stays where the link names no other one and no other model."""
        explorer = self.explorer
        if explorer.bus.spec.value.model != spec.model:
            return explorer.show_model(spec, view)
        shown = "" if explorer.studio.store.find(spec) is not None else str(explorer.bus.shown.value)
        return {**explorer.recipe.fill(spec), **explorer.draw(spec, view, shown)}
