"""Each panel fills its own components, all of them with plain text, figures or numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest

from components.generations import MAX_PROMPTS, GenerationsPanel
from components.heatmap import HeatmapPanel
from components.metrics import MetricsPanel
from components.panel import Panel, show_all
from components.verdict import VerdictPanel
from liar.results import Generation, RunResult
from tests.fakes import classifier_run, language_run

PANELS: list[Callable[[RunResult | None], Panel]] = [VerdictPanel, HeatmapPanel, MetricsPanel, GenerationsPanel]


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


def value_of(update: Any) -> Any:
    return update["value"] if isinstance(update, dict) else update


def test_a_language_model_shows_three_texts() -> None:
    with gr.Blocks():
        panel = GenerationsPanel(None)
        updates = panel.show(language_run())
    row = panel.rows[0]
    assert [value_of(updates[box]) for box in row.texts.values()] == ["dense.", "pruned.", "reconstructed."]
    assert all(updates[box]["visible"] for box in row.texts.values())
    assert not any(updates[label]["visible"] for label in row.labels.values())


def test_a_classifier_shows_three_probabilities() -> None:
    with gr.Blocks():
        panel = GenerationsPanel(language_run())
        updates = panel.show(classifier_run())
    row = panel.rows[0]
    assert [value_of(updates[label])["positive"] for label in row.labels.values()] == [0.863, 0.808, 0.847]
    assert not any(updates[box]["visible"] for box in row.texts.values())


def test_rows_without_a_prompt_are_hidden_and_surplus_prompts_dropped() -> None:
    prompts = [f"prompt {number}" for number in range(MAX_PROMPTS + 2)]
    many = [Generation(prompt=prompt, variant="dense", text="...") for prompt in prompts]
    with gr.Blocks():
        panel = GenerationsPanel(None)
        few = panel.show(language_run())
        full = panel.show(language_run().model_copy(update={"generations": many}))
    assert [few[row.group]["visible"] for row in panel.rows] == [True] + [False] * (MAX_PROMPTS - 1)
    assert all(full[row.group]["visible"] for row in panel.rows)


def test_generated_markup_stays_text() -> None:
    """A model may write anything; only components that treat it as text may show it."""
    nasty = "<img src=x onerror=alert(1)>"
    run = language_run().model_copy(update={"generations": [Generation(prompt=nasty, variant="dense", text=nasty)]})
    with gr.Blocks() as page:
        panels = [panel(run) for panel in PANELS]
        updates = show_all(panels, run)
    holders = {type(component) for component, value in updates.items() if nasty in str(value)}
    assert holders == {gr.Textbox}
    assert all(
        nasty not in str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML | gr.Markdown)
    )
