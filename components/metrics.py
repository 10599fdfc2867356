"""What it cost: the metric of the dense, the pruned and the reconstructed model."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from liar.plots import metric_bars
from liar.results import RunResult


class MetricsPanel:
    """Bars with one standard error to each side."""

    def __init__(self, result: RunResult | None) -> None:
        gr.HTML(
            "<h3>Before and after</h3><p>“Pruned” is the same mask without reconstruction. "
            "Whiskers are one standard error.</p>",
            elem_classes=["caption"],
        )
        self.plot = gr.Plot(
            metric_bars(result) if result else None, show_label=False, container=False, elem_id="metrics"
        )

    @property
    def outputs(self) -> list[Block]:
        return [self.plot]

    def show(self, result: RunResult) -> Updates:
        return {self.plot: metric_bars(result)}
