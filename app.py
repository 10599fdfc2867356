"""The page: builds the Blocks and launches; the panels are in ``components``, the work is in ``liar``."""

from __future__ import annotations

import sys
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from components.accuracy import AccuracyPanel
from components.address import address_bar
from components.api import Api
from components.apply import Apply
from components.explorer import Explorer
from components.generations import GenerationsPanel
from components.jobs import JobQueue
from components.layers import LayersPanel
from components.layout import layout_marker, layout_switch, mark
from components.opening import Opening, first_run
from components.panel import HEARD, Panel
from components.recipe import ANY_MODEL, Recipe, default_spec
from components.registry import ModelRegistry
from components.runs import RunsPanel
from components.saving import SavingPanel
from components.serving import Headers
from components.studio import Bus, Studio
from components.takeaway import TakeawayPanel
from components.theme import HEAD, stylesheets, theme
from components.tradeoff import TradeoffPanel
from components.verdict import VerdictPanel
from liar.atlas import AtlasStore
from liar.chatter import hush
from liar.store import RunStore
from liar.threads import settle_threads
from liar.view import View

TITLE = (
    "<h1>LIAR</h1><p>Prune a BERT or a LLaMA, repair it in closed form, see what happened. "
    "<a href='#recipe'>To the recipe</a></p>"
)

SWITCH_SECONDS = 0.0005
"""So long may a handler keep the interpreter from the thread of a run, which asks for it before each of its many products."""

LOOK_SECONDS = 0.02
"""Gradio looks for new events a thousand times a second, which takes a run a twentieth of its time."""


def build(studio: Studio) -> gr.Blocks:
    """The whole page, with a finished run already in it."""
    spec = default_spec()
    result = first_run(studio.store, spec)
    view = View()
    page = gr.Blocks(title="LIAR: prune and repair", analytics_enabled=False, fill_width=True)
    with page:
        bus = Bus(result.spec if result else spec, view, result.spec.key if result else "")
        with gr.Row(elem_id="header"):
            gr.HTML(TITLE, elem_id="title")
            layout, remembered = layout_switch(view.layout)
        address, marker = address_bar(), layout_marker(view)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=0, min_width=320, elem_id="recipe"):
                recipe = Recipe(result.spec if result else spec)
                with gr.Column(elem_id="actions"):
                    apply = Apply(studio, bus, recipe)
                    explorer = Explorer(studio, bus, recipe)
            with gr.Column(scale=1, min_width=320, elem_id="results"):
                verdict = VerdictPanel(studio, bus, result)
                banner = gr.HTML("", elem_id="banner")
                with gr.Tabs(selected=view.tab, elem_id="tabs") as tabs:
                    with _tab("Layers", "layers"):
                        layers = LayersPanel(studio, bus, result)
                    with _tab("Accuracy", "accuracy"):
                        accuracy = AccuracyPanel(studio, bus, result)
                    _tab("Generations", "generations")  # its panel lies below, for the simple layout to show as well
                    with _tab("Trade-off", "trade-off"):
                        tradeoff = TradeoffPanel(studio, bus, result)
                    with _tab("Runs", "runs"):
                        runs = RunsPanel(studio, bus, result, may_delete=ANY_MODEL)
                    with _tab("Take away", "take-away"):
                        takeaway = TakeawayPanel(studio, bus, result)
                        saving = SavingPanel(studio, bus)
                with gr.Column(elem_id="generations", elem_classes=["card"]):
                    generations = GenerationsPanel(studio, bus, result)
        panels: list[Panel] = [accuracy, generations, tradeoff, runs, takeaway]
        explorer.wire(verdict, layers, panels, banner, apply.status, address)
        apply.wire(explorer)
        for panel in (layers, accuracy, generations, tradeoff, runs, takeaway, saving):
            panel.wire()
        tabs.select(_to_tab, bus.view, [bus.view, marker], **HEARD)
        layout.input(_to_layout, [layout, bus.view], [bus.view, marker, remembered, tabs], **HEARD)
        opening = Opening(explorer, tabs, layout, marker)
        opened = page.load(opening.open, remembered, opening.outputs, **HEARD)
        apply.resume_with(opened)
        tradeoff.resume_with(opened)
        accuracy.costs.resume_with(opened)
        saving.resume_with(opened)
        page.unload(apply.leave)
        Api(studio)
    return page


def _tab(label: str, id: str) -> gr.Tab:
    return gr.Tab(label, id=id, elem_id=f"tab-{id}")


def _to_tab(view: View, event: gr.SelectData) -> tuple[View, dict[str, str]]:
    view = view.model_copy(update={"tab": str(event.value).lower().replace(" ", "-")})
    return view, mark(view)


def _to_layout(layout: str, view: View) -> tuple[View, dict[str, str], str, gr.Tabs]:
    view = view.model_copy(update={"layout": layout})
    return view, mark(view), layout, gr.Tabs(selected=mark(view)["tab"])


def warm_up() -> None:
    """Import torch and all that a run needs, before the first visitor comes: in a thread it would take as long, and the page
    of whoever comes meanwhile would stutter."""
    import liar.pipeline  # noqa: F401


def main() -> None:
    """Serve the page; Gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    settle_threads()
    hush()
    sys.setswitchinterval(SWITCH_SECONDS)
    store, registry = RunStore(), ModelRegistry()

    def keep(key: str, finished: Any) -> None:
        if finished.variants is not None:
            registry.keep(finished.result.spec.key, finished.variants)

    jobs = JobQueue(on_finished=keep)
    page = build(Studio(store, AtlasStore(store.folder.parent / "atlases"), registry, jobs))
    page.queue(max_size=64)
    page._queue.sleep_when_free = page._queue.progress_update_sleep_when_free = LOOK_SECONDS
    warm_up()
    page.launch(
        theme=theme(),
        css_paths=stylesheets(),
        head=HEAD,
        footer_links=[],
        ssr_mode=False,
        app_kwargs={"middleware": [Middleware(Headers)]},
    )


if __name__ == "__main__":
    main()
