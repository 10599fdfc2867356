"""The page: builds the Blocks and launches; the panels are in ``components``, the work is in ``liar``."""

from __future__ import annotations

import gradio as gr

from components.address import address_bar
from components.generations import GenerationsPanel
from components.heatmap import HeatmapPanel
from components.metrics import MetricsPanel
from components.opening import Opening, first_run
from components.panel import Panel
from components.recipe import Recipe, default_spec
from components.registry import ModelRegistry
from components.run import Job
from components.theme import CSS, HEAD, theme
from components.verdict import VerdictPanel
from liar.store import RunStore

TITLE = (
    "<h1>LIAR</h1><p>Prune a BERT or a LLaMA, repair it in closed form, see what happened. "
    "<a href='#recipe'>To the recipe</a></p>"
)


def build(store: RunStore, registry: ModelRegistry) -> gr.Blocks:
    """The whole page, with a finished run already in it."""
    spec = default_spec()
    result = first_run(store, spec)
    page = gr.Blocks(title="LIAR: prune and repair", analytics_enabled=False, fill_width=True)
    with page:
        gr.HTML(TITLE, elem_id="title")
        address = address_bar()
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=0, min_width=320, elem_id="recipe"):
                recipe = Recipe(result.spec if result else spec, result)
                with gr.Column(elem_id="actions"):
                    job = Job(recipe, store, registry)
            with gr.Column(scale=1, min_width=320, elem_id="results"):
                verdict = VerdictPanel(result)
                with gr.Column(elem_classes=["card"]):
                    heatmap = HeatmapPanel(result)
                with gr.Column(elem_classes=["card"]):
                    metrics = MetricsPanel(result)
                with gr.Column(elem_classes=["card"]):
                    generations = GenerationsPanel(result)
        panels: list[Panel] = [verdict, heatmap, metrics, generations]
        opening = Opening(recipe, panels, job.status, store)
        job.wire(panels, address)
        page.load(opening.open, None, opening.outputs, queue=False, show_progress="hidden", api_visibility="private")
    return page


def main() -> None:
    """Serve the page; Gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    page = build(RunStore(), ModelRegistry())
    page.queue(max_size=16)
    page.launch(theme=theme(), css_paths=CSS, head=HEAD, footer_links=[], ssr_mode=False)


if __name__ == "__main__":
    main()
