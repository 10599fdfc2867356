"""The page: builds the Blocks and launches; the panels are in ``components``, the work is in ``liar``."""

from __future__ import annotations

from typing import Any

import gradio as gr
from components.layers import LayersPanel
from components.runs import RunsPanel
from components.tradeoff import TradeoffPanel

from components.accuracy import AccuracyPanel
from components.address import address_bar
from components.apply import Apply
from components.explorer import Explorer
from components.generations import GenerationsPanel
from components.jobs import JobQueue
from components.layout import layout_marker, layout_switch
from components.opening import Opening, first_run
from components.panel import Panel
from components.recipe import ANY_MODEL, Recipe, default_spec
from components.registry import ModelRegistry
from components.studio import Bus, Studio
from components.takeaway import TakeawayPanel
from components.theme import HEAD, stylesheets, theme
from components.verdict import VerdictPanel
from liar.atlas import AtlasStore
from liar.store import RunStore
from liar.view import View

TITLE = (
    "<h1>LIAR</h1><p>Prune a BERT or a LLaMA, repair it in closed form, see what happened. "
    "<a href='#recipe'>To the recipe</a></p>"
)
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


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
        address, marker = address_bar(), layout_marker(view.layout)
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
                    with _tab("Generations", "generations"):
                        generations = GenerationsPanel(studio, bus, result)
                    with _tab("Trade-off", "trade-off"):
                        tradeoff = TradeoffPanel(studio, bus, result)
                    with _tab("Runs", "runs"):
                        runs = RunsPanel(studio, bus, result, may_delete=ANY_MODEL)
                    with _tab("Take away", "take-away"):
                        takeaway = TakeawayPanel(studio, bus, result)
        panels: list[Panel] = [accuracy, generations, tradeoff, runs, takeaway]
        explorer.wire(verdict, layers, panels, banner, apply.status, address)
        apply.wire(explorer)
        for panel in (layers, generations, tradeoff, runs, takeaway):
            panel.wire()
        tabs.select(_to_tab, bus.view, bus.view, **QUIET)
        layout.input(_to_layout, [layout, bus.view], [bus.view, marker, remembered], **QUIET)
        opening = Opening(explorer, tabs, layout, marker)
        opened = page.load(opening.open, remembered, opening.outputs, **QUIET)
        apply.resume_with(opened)
    return page


def _tab(label: str, id: str) -> gr.Tab:
    """Rendered from the start, because the simple layout shows two of them at once."""
    return gr.Tab(label, id=id, elem_id=f"tab-{id}", elem_classes=["card"], render_children=True)


def _to_tab(view: View, event: gr.SelectData) -> View:
    return view.model_copy(update={"tab": str(event.value).lower().replace(" ", "-")})


def _to_layout(layout: str, view: View) -> tuple[View, str, str]:
    return view.model_copy(update={"layout": layout}), layout, layout


def main() -> None:
    """Serve the page; Gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    store, registry = RunStore(), ModelRegistry()

    def keep(key: str, finished: Any) -> None:
        if finished.variants is not None:
            registry.keep(finished.result.spec.key, finished.variants)

    jobs = JobQueue(on_finished=keep)
    page = build(Studio(store, AtlasStore(store.folder.parent / "atlases"), registry, jobs))
    page.queue(max_size=64)
    page.launch(theme=theme(), css_paths=stylesheets(), head=HEAD, footer_links=[], ssr_mode=False)


if __name__ == "__main__":
    main()
