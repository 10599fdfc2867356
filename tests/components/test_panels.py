"""Each panel fills its own components, all of them from one result; text of users and models is escaped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest

from components.layers.layers import LayersPanel
from components.measured.accuracy import AccuracyPanel
from components.measured.generations import GenerationsPanel
from components.measured.verdict import VerdictPanel
from components.shared.lookup import Known, Pruned
from components.shared.panel import Updates
from components.shared.studio import Bus, Studio
from components.takeaway.runs import RunsPanel
from components.takeaway.takeaway import TakeawayPanel
from components.tradeoff.tradeoff import TradeoffPanel
from liar.report.view import View
from liar.results import RunResult, Token
from liar.spec import PruneSpec
from tests.components.visitor import Page
from tests.fakes import classifier_run, language_run

Build = Callable[[Studio, Bus, RunResult | None], Any]

PANELS: dict[str, Build] = {
    "verdict": lambda studio, bus, result: VerdictPanel(result),
    "layers": LayersPanel,
    "accuracy": AccuracyPanel,
    "generations": GenerationsPanel,
    "trade-off": lambda studio, bus, result: TradeoffPanel(studio, bus),
    "runs": RunsPanel,
    "take-away": TakeawayPanel,
}
RUNS = {"llama": language_run(), "bert": classifier_run()}
NASTY = "<img src=x onerror=alert(1)>"


def built(panel: Build, studio: Studio, result: RunResult | None) -> Any:
    spec = result.spec if result else PruneSpec()
    with gr.Blocks():
        return panel(studio, Bus(spec, View(), spec.key if result else ""), result)


def filled(made: Any, run: RunResult) -> Updates:
    """A panel with a run, as the explorer fills it."""
    if isinstance(made, VerdictPanel):
        return made.show(Known(run.spec, None, run=run))
    if isinstance(made, LayersPanel):
        return made.draw(run, View(), None, "Measured", run.spec)
    updates: Updates = made.show(run.spec, run)
    return updates


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
@pytest.mark.parametrize("first", [None, *RUNS.values()], ids=["empty", *RUNS])
def test_a_panel_opens_as_it_is_filled_and_fills_only_what_it_declares(
    panel: Build, studio: Studio, first: RunResult | None
) -> None:
    made = built(panel, studio, first)
    for run in RUNS.values():
        updates = filled(made, run)
        assert updates
        assert set(updates) <= set(made.outputs)
        texts = [(component.value, text) for component, text in updates.items() if isinstance(component, gr.HTML)]
        assert run is not first or all(value == text for value, text in texts if isinstance(text, str))


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_what_people_and_models_wrote_stays_text(panel: Build, studio: Studio) -> None:
    run = classifier_run(model=f"somebody/{NASTY}", calibration=NASTY, device="cpu")
    run = run.model_copy(
        update={
            "model": run.model.model_copy(update={"id": NASTY}),
            "warnings": [NASTY],
            "sites": [site.model_copy(update={"name": NASTY}) for site in run.sites],
            "changes": [
                change.model_copy(
                    update={"text": NASTY, "label": NASTY, "answers": dict.fromkeys(change.answers, NASTY)}
                )
                for change in run.changes
            ],
            "generations": [
                item.model_copy(update={"prompt": NASTY, "text": NASTY, "tokens": [Token(text=NASTY)]})
                for item in run.generations
            ],
        }
    )
    for component, value in filled(built(panel, studio, None), run).items():
        if isinstance(component, gr.HTML) and isinstance(value, str):
            assert NASTY not in value
            assert "<img" not in value


def test_no_two_components_share_an_id(studio: Studio) -> None:
    """The style sheet and scripts select components by id."""
    ids = [block.elem_id for block in Page(studio).blocks.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))


def test_the_headline_of_a_job_has_its_figures_once_all_three_models_are_measured() -> None:
    run, panel = RUNS["bert"], VerdictPanel(None)
    for measured, words in ((2, "50 % of the units gone: being measured."), (3, "gone: 86.3 % correct, cut 80.8 %")):
        pruned = Pruned(run.spec, run.sites, run.evaluations[:measured])
        headline = str(panel.show(Known(run.spec, None, pruned=pruned))[panel.text])
        assert words in headline.replace("\xa0", " ")
        assert ("Measured" in headline) is (measured == 3)
