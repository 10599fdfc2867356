"""The selected site, the label “Measured” or “Predicted” of the figures, and edits by hand."""

from __future__ import annotations

import gradio as gr
import pytest

from components.layers.by_hand import Decision
from components.shared.lookup import what_is_known
from components.shared.studio import Studio
from liar.report.view import View
from liar.results import RunResult, SiteReport
from liar.spec import PruneSpec
from tests.components.visitor import Page, opened
from tests.fakes import language_run, run_of_layers


def test_a_selected_site_is_in_the_inspector_and_the_address(studio: Studio, run: RunResult, models: list[str]) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.ratio, 0.25)
    visitor.does(page.layers.table, "select", {"site": "layers.1.ffn"})
    assert "Layer 1 FFN" in visitor.sees(page.layers.inspector.words)
    assert "site=layers.1.ffn" in visitor.sees(page.address)
    visitor.does(page.layers.table, "select", {"site": "layers.1.ffn"})
    assert "site=" not in visitor.sees(page.address)
    assert models == []


def test_without_an_atlas_a_site_of_the_run_shown_can_be_selected(studio: Studio) -> None:
    run = language_run()
    studio.store.save(run)
    page, visitor = opened(studio)
    visitor.sets(page.recipe.ratio, 0.25)
    visitor.does(page.layers.table, "select", {"site": "layers.2.ffn"})
    assert "Layer 2 FFN" in visitor.sees(page.layers.inspector.words)
    assert "ratio=0.25" in visitor.sees(page.address)


@pytest.mark.parametrize("query", ["", "seed=7", "seed=7&site=layers.1.ffn"])
def test_the_headline_is_never_of_another_recipe(studio: Studio, run: RunResult, query: str) -> None:
    """For a chosen and for a linked recipe; each panel that still shows the earlier run has a note that names it."""
    page, visitor = opened(studio, query)
    if not query:
        visitor.sets(page.recipe.seed, 7, "blur")
    spec = visitor.state(page.bus.spec)
    assert spec.seed == 7
    assert f'data-recipe="{spec.key}"' in visitor.sees(page.verdict.text)
    assert "Nothing is known of this recipe yet" in visitor.sees(page.verdict.text)
    assert "seed 7" in visitor.sees(page.verdict.text)
    assert "Measured" not in visitor.sees(page.verdict.text)
    for below in (page.layers.heading, page.provenance):
        assert f'data-recipe="{run.spec.key}" data-chosen="{spec.key}"' in visitor.sees(below)
        assert "Still the run of another recipe (demo/smollm2-135m" in visitor.sees(below)


@pytest.mark.parametrize("query", ["", "model=somebody/else", "model=somebody/else&site=layers.1.ffn"])
def test_nothing_is_shown_of_an_unknown_model(studio: Studio, run: RunResult, query: str) -> None:
    page, visitor = opened(studio, query)
    if not query:
        visitor.sets(page.recipe.model, "somebody/else", "blur")
    assert "somebody/else: 50 %" in visitor.sees(page.verdict.text)
    assert "Nothing is known of this recipe yet" in visitor.sees(page.verdict.text)
    assert visitor.sees(page.layers.plot) is None
    assert "No run of this recipe" in visitor.sees(page.generations.stored)
    assert visitor.state(page.bus.shown) == ""
    for below in (page.layers.heading, page.layers.table, page.provenance):
        assert "data-recipe" not in visitor.sees(below)


def test_the_heatmap_has_its_own_origin(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    for ratio, origin in ((run.spec.ratio, "Measured"), (0.25, "Interpolated"), (run.spec.ratio, "Measured")):
        visitor.sets(page.recipe.ratio, ratio)
        assert f">{origin}</span></h3>" in visitor.sees(page.layers.heading)
        assert f'data-recipe="{visitor.state(page.bus.spec).key}"' in visitor.sees(page.layers.heading)
        assert "another recipe" not in visitor.sees(page.layers.heading)


def test_what_is_decided_by_hand_is_in_the_recipe(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio, "edits=layers.0.ffn:keep=1&edits=layers.1.ffn:ratio=0.25&site=layers.1.ffn")
    by_hand = page.layers.inspector.by_hand
    assert visitor.state(page.bus.spec).edits == ("layers.0.ffn:keep=1", "layers.1.ffn:ratio=0.25")
    assert visitor.sees(by_hand.ratio) == 0.25
    for _ in range(2):  # the second time undoes the edit typed in the first
        visitor.does(by_hand.undo, "click")
        assert visitor.state(page.bus.spec).edits == ("layers.0.ffn:keep=1",)
        assert visitor.sees(page.recipe.edits) == "layers.0.ffn:keep=1"
        visitor.sets(page.recipe.edits, "layers.0.ffn:keep=1\nlayers.1.ffn:ratio=0.50", "blur")
        assert visitor.sees(page.recipe.edits) == "layers.0.ffn:keep=1\nlayers.1.ffn:ratio=0.5"
    visitor.does(by_hand.keep_whole, "click")
    assert "60 of 60" in visitor.sees(page.layers.table)
    assert visitor.sees(page.address).count("edits=") == 2


def test_a_clicked_unit_changes_sides_and_the_forecast_follows(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio, "targets=both&site=layers.0.attention")
    by_hand, units = page.layers.inspector.by_hand, page.layers.inspector.figures["units"].plot

    def report() -> SiteReport:
        expected = what_is_known(studio, visitor.state(page.bus.spec)).sites
        return next(site for site in expected if site.name == "layers.0.attention")

    before, drawn = report(), visitor.sees(units)
    gone = next(unit for unit in range(before.units) if unit not in before.kept_units)
    visitor.does(by_hand.clicks, "select", {"unit": gone})
    assert gone in report().kept_units
    assert report().kept == before.kept
    assert report().error, "curves know the error of any choice of few units"
    assert visitor.sees(units) != drawn
    assert "keep%3D" in visitor.sees(page.address)
    visitor.does(by_hand.clicks, "select", {"unit": gone})
    assert gone not in report().kept_units
    assert "remove%3D" in visitor.sees(page.address)
    visitor.does(by_hand.undo, "click")
    assert report() == before
    assert visitor.sees(units) == drawn


def test_layers_have_no_forecast_but_a_run(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.targets, "layers")
    assert "What whole layers cost is not known" in visitor.sees(page.line)
    assert "alert" not in visitor.sees(page.line)
    assert "of the layers gone: not measured yet" in visitor.sees(page.verdict.text)
    assert "20 % of" not in visitor.sees(page.verdict.text)
    removed = run_of_layers()
    studio.store.save(removed)
    visitor.sets(page.recipe.ratio, removed.spec.ratio)
    assert "6 of 30 layers gone" in visitor.sees(page.verdict.text)
    assert "Error of every run of layers" in visitor.sees(page.layers.heading)
    assert visitor.sees(page.line) == ""
    visitor.sets(page.recipe.targets, "ffn")
    assert "Error by layer and site" in visitor.sees(page.layers.heading)


def controls_of(page: Page, spec: PruneSpec) -> list[object]:
    filled = page.recipe.fill(spec)
    return [filled[control] for control in page.recipe.controls.values()]


@pytest.mark.parametrize("late", ["recipe", "view", "none"])
def test_the_answer_that_arrives_last_is_never_of_an_earlier_event(studio: Studio, run: RunResult, late: str) -> None:
    """A move and a change of view are answered side by side, in any order."""
    page, visitor = opened(studio)
    headline, view = visitor.sees(page.verdict.text), View(site="layers.1.ffn")
    moved = run.spec.model_copy(update={"ratio": 0.25})
    spec, drawn = (moved if late == "recipe" else run.spec), (View() if late == "view" else view)
    updates = page.explorer.settle(headline, drawn, view, run.spec.key, spec)
    if late == "none":
        assert updates == {page.address: gr.skip()}, "the answer that changed both has drawn it"
        return
    assert f'data-recipe="{spec.key}"' in updates[page.verdict.text]
    assert "site=layers.1.ffn" in updates[page.address]
    assert ("ratio=0.25" in updates[page.address]) == (late == "recipe")
    assert updates[page.explorer.drawn] == view


def test_moves_and_views_are_followed_by_a_settling(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    fns = visitor.blocks.fns.values()
    settling = [fn for fn in fns if fn.fn == page.explorer.settle]
    looking = [fn._id for fn in settling if fn.trigger_after is None]
    moves = {fn._id for fn in fns if fn.fn == page.explorer.explore}
    assert {fn.trigger_after for fn in settling} - {None} == {*moves, *looking}
    assert len(moves) == len(looking) == 1, "one event each, so that the last answer is of the last move"
    assert all(page.line not in fn.outputs for fn in settling), "a change of view leaves the status line of a job"


def test_controls_from_before_another_answer_are_not_read(studio: Studio, run: RunResult) -> None:
    """A control is moved while the answer that opens another run is on its way: the run opened stays."""
    page, visitor = opened(studio)
    other = PruneSpec(model="somebody/else")
    headline, values = visitor.sees(page.verdict.text), controls_of(page, run.spec)
    updates = page.explorer.explore(headline, Decision(), "", View(), "", other, *values)
    assert f'data-recipe="{other.key}"' in updates[page.verdict.text]
    assert page.bus.spec not in updates
    assert updates[page.recipe.model] == other.model


@pytest.mark.parametrize("is_late", [False, True])
def test_a_decision_by_hand_is_drawn_whatever_the_browser_s_field_shows(
    studio: Studio, run: RunResult, is_late: bool
) -> None:
    """The text of the decision, or even the answer to the move before it, has not reached the browser yet."""
    page, visitor = opened(studio)
    by_hand, decided = page.layers.inspector.by_hand, Decision(("layers.0.ffn:keep=1",), ("",), "first")
    base = run.spec.model_copy(update={"ratio": 0.25}) if is_late else run.spec
    inputs = [View(), "", base, *controls_of(page, run.spec)]
    updates = page.explorer.explore(visitor.sees(page.verdict.text), decided, "", *inputs)
    assert updates[page.bus.spec] == base.model_copy(update={"edits": decided.edits})
    assert updates[page.recipe.edits] == "layers.0.ffn:keep=1"
    assert updates[by_hand.taken] == "first"
    if not is_late:  # once drawn, the field decides
        again = page.explorer.explore(visitor.sees(page.verdict.text), decided, "first", *inputs)
        assert again[page.bus.spec].edits == ()
