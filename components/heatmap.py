"""Where the damage is: the error of every site, for each reconstruction, on one colour scale."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from liar.plots import error_heatmap
from liar.results import RunResult


class HeatmapPanel:
    """Layer x site, four strips."""

    def __init__(self, result: RunResult | None) -> None:
        gr.HTML(
            "<h3>Error by layer and site</h3><p>How far each site's output is from the dense model's, as a share of "
            "its energy. The mask is the same in all four strips; only the reconstruction differs.</p>",
            elem_classes=["caption"],
        )
        self.plot = gr.Plot(
            error_heatmap(result.sites) if result else None, show_label=False, container=False, elem_id="heatmap"
        )

    @property
    def outputs(self) -> list[Block]:
        return [self.plot]

    def show(self, result: RunResult) -> Updates:
        return {self.plot: error_heatmap(result.sites)}
