"""Each panel fills its own components, all of them with plain text, figures or numbers."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
import pytest

from components.heatmap import HeatmapPanel
from components.panel import Panel, show_all
from components.verdict import VerdictPanel
from liar.results import RunResult
from tests.fakes import classifier_run, language_run

PANELS: list[Callable[[RunResult | None], Panel]] = [VerdictPanel, HeatmapPanel]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
@pytest.mark.parametrize("first", [None, language_run(), classifier_run()], ids=["empty", "llama", "bert"])
def test_a_panel_fills_only_what_it_declares(
    panel: Callable[[RunResult | None], Panel], first: RunResult | None
) -> None:
    with gr.Blocks():
        built = panel(first)
        for run in (language_run(), classifier_run()):
            assert set(built.show(run)) <= set(built.outputs)


def test_all_panels_show_the_same_result() -> None:
    with gr.Blocks():
        panels = [panel(None) for panel in PANELS]
        updates = show_all(panels, language_run())
    assert {component for panel in panels for component in panel.outputs} >= set(updates)
    assert any("110.7" in str(value) for value in updates.values())
