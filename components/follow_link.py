"""First content of the page: a finished run, or the recipe and view of the address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from urllib.parse import parse_qsl

import gradio as gr
from gradio.blocks import Block

from components.address import RETURNED, read_address
from components.explorer import Explorer
from components.lesson_beside import LessonBeside, complaint_about
from components.rail.recipe import measured_on_its_task
from components.shared import status
from components.shared.panel import QUEUED, UNQUEUED, Updates, states_first
from components.simple_or_full import mark
from liar.errors import LiarError
from liar.report.view import Layout, View
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import RunStore


def first_run(store: RunStore, spec: PruneSpec) -> RunResult | None:
    """The stored run of ``spec``, else any stored run, else None."""
    return store.find(spec) or next(iter(store.runs()), None)


class Opening:
    """Fill recipe, view and panels from the query string of the address."""

    def __init__(
        self, explorer: Explorer, tabs: gr.Tabs, layout: gr.Radio, marker: gr.HTML, beside: LessonBeside
    ) -> None:
        self.explorer, self.tabs, self.layout, self.marker, self.beside = explorer, tabs, layout, marker, beside
        own: list[Block] = [self.explorer.bus.view, self.tabs, self.layout, self.marker, self.beside.frame]
        self.outputs: list[Block] = states_first([*own, *self.explorer.outputs])

    def wire(self) -> None:
        bus = self.explorer.bus
        returned = self.explorer.address.select(self.back, [bus.spec, bus.shown], self.outputs, **QUEUED)
        returned.then(None, None, None, js=RETURNED, **UNQUEUED)

    def open(self, remembered: str | None, request: gr.Request) -> Updates:
        # multi_items, because a choice may be named several times and each value counts.
        return self.follow(request.query_params.multi_items(), remembered)

    def back(self, event: gr.EventData, spec: PruneSpec, shown: str) -> Updates:
        """Updates for an entry of the browser's history, on a page that has recipe ``spec`` and shows run ``shown``."""
        return self.follow(parse_qsl(str(getattr(event, "query", "")).lstrip("?")), now=(spec, shown))

    def follow(
        self,
        pairs: Iterable[tuple[str, str]],
        remembered: str | None = None,
        now: tuple[PruneSpec, str] | None = None,
    ) -> Updates:
        """Updates for a link. A bare address only sets the layout that the browser ``remembered``; if the page was
        built without a run, or is ``now`` at another recipe, it also draws what the page was built with."""
        named = list(pairs)
        spec, view, complaint = read_address(named)
        complaints = [words for words in (complaint, complaint_about(view)) if words]
        opened = self.explorer.bus.spec.value
        if remembered in ("simple", "full") and "layout" not in dict(named):
            view = view.model_copy(update={"layout": cast(Layout, remembered)})
        updates: Updates = {
            self.explorer.bus.view: view,
            self.tabs: gr.update(selected=mark(view)["tab"]),
            self.layout: view.layout,
            self.marker: mark(view),
            **self.beside.show(view),
        }
        if spec is not None:
            try:
                self.explorer.studio.profile.check(spec)
            except LiarError as error:
                spec = None
                complaints.append(str(error))
        if spec is not None or now or view != View(layout=view.layout) or not self.explorer.bus.shown.value:
            spec = opened if spec is None else measured_on_its_task(spec)
            updates |= self._draw(spec, view, *(now or (opened, str(self.explorer.bus.shown.value))))
        if complaints:
            updates[self.explorer.line] = status.problem(" ".join(complaints))
        return updates

    def _draw(self, spec: PruneSpec, view: View, now: PruneSpec, shown: str) -> Updates:
        """Draw a recipe; the run ``shown`` stays unless the link names another run, or another model than ``now``."""
        explorer = self.explorer
        if now.model != spec.model:
            return explorer.show_model(spec, view)
        shown = "" if explorer.studio.store.find(spec) is not None else shown
        return {**explorer.recipe.fill(spec), **explorer.draw(spec, view, shown)}
