"""Every change of a control shows at once the stored run, a forecast, or a sentence about what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from components.shared.job_bodies import preset_prompts
from components.shared.studio import Studio
from liar.report.view import Layout, View
from liar.report.words.examples import examples
from liar.results import RunResult
from liar.spec import PruneSpec
from tests.components.visitor import Page, Visitor, opened
from tests.fake_atlas import tiny_atlas
from tests.fakes import classifier_run, language_run

# -- changes of a control -----------------------------------------------------------------------------------------------


def test_a_move_draws_the_forecast_and_the_way_back_the_run(studio: Studio, run: RunResult, models: list[str]) -> None:
    page, visitor = opened(studio)
    measures = visitor.sees(page.accuracy.table)
    visitor.sets(page.recipe.ratio, 0.25)
    assert "Interpolated" in visitor.sees(page.verdict.text)
    assert "A quarter of the neurons" in visitor.sees(page.verdict.text)
    assert visitor.state(page.bus.spec) == run.spec.model_copy(update={"ratio": 0.25})
    assert visitor.sees(page.address) == PruneSpec(ratio=0.25, evaluate=("perplexity",)).to_query()
    assert "Still the run of another recipe" in visitor.sees(page.provenance)
    assert visitor.state(page.bus.shown) == run.spec.key, "the other panels show what they showed"
    assert visitor.sees(page.accuracy.table) == measures
    assert "the recipe differs" in visitor.sees(page.takeaway.difference), "the listeners to the recipe have run"
    assert models == []
    visitor.sets(page.recipe.ratio, run.spec.ratio)
    assert "Measured" in visitor.sees(page.verdict.text)
    assert "another" not in visitor.sees(page.provenance)
    assert visitor.sees(page.takeaway.difference) == ""


def test_marks_follow_the_runs_and_between_two_the_metric_is_interpolated(studio: Studio, run: RunResult) -> None:
    lower, later = (run.model_copy(update={"spec": run.spec.model_copy(update={"ratio": at})}) for at in (0.3, 0.7))
    studio.store.save(lower)
    page, visitor = opened(studio)
    marks, verdict = page.recipe.marks, page.verdict.text
    assert keys_of(visitor.sees(marks)) == [lower.spec.key, run.spec.key]
    assert visitor.sees(marks).count('aria-pressed="true"') == 1
    visitor.sets(page.recipe.ratio, 0.4)
    assert (
        "Between the runs at 30\N{NO-BREAK SPACE}% and 50\N{NO-BREAK SPACE}%: perplexity about 42.4."
        in visitor.sees(verdict)
    )
    for part in (verdict, page.layers.heading):
        assert ">Interpolated</span>" in visitor.sees(part)
    assert "error about" in visitor.sees(verdict)
    assert "about 110.7" in visitor.sees(page.before_after.bars)
    assert 'aria-pressed="true"' not in visitor.sees(marks)
    visitor.sets(page.recipe.ratio, 0.6)
    assert "Interpolated" not in visitor.sees(verdict)
    assert "predicted error about" in visitor.sees(verdict)
    assert "not measured yet" in visitor.sees(page.before_after.bars)
    studio.store.save(later)
    visitor.sets(page.recipe.ratio, 0.61)
    assert keys_of(visitor.sees(marks)) == [lower.spec.key, run.spec.key, later.spec.key]
    assert "Interpolated" in visitor.sees(verdict)
    close = run.model_copy(update={"spec": run.spec.model_copy(update={"ratio": 0.32})})
    studio.store.save(close)
    visitor.sets(page.recipe.ratio, 0.62)
    assert re.findall(r">(\d*)</button>", visitor.sees(marks)) == ["30", "", "50", "70"], "no room for 32 beside 30"
    visitor.does(marks, "select", {"key": lower.spec.key})
    assert visitor.state(page.bus.shown) == lower.spec.key
    assert "Measured" in visitor.sees(verdict)
    assert "Interpolated" not in visitor.sees(verdict)


def keys_of(markup: str) -> list[str]:
    return re.findall(r'data-key="(\w+)"', markup)


def test_figures_of_a_deleted_run_are_marked(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    studio.store.delete(run.spec.key)
    visitor.sets(page.recipe.ratio, 0.25)
    assert "its run is not kept here any more" in visitor.sees(page.provenance)
    visitor.sets(page.recipe.ratio, run.spec.ratio)
    assert "Predicted" in visitor.sees(page.verdict.text)
    assert "another" not in visitor.sees(page.provenance), "its figures are of this recipe, kept or not"


def test_a_stored_run_fills_every_panel(studio: Studio, run: RunResult) -> None:
    other = language_run(ratio=0.3)
    other = other.model_copy(update={"evaluations": [run.evaluations[0].model_copy(update={"value": 77.7})]})
    studio.store.save(other)
    page, visitor = opened(studio)
    visitor.sets(page.recipe.ratio, 0.3)
    assert visitor.state(page.bus.shown) == other.spec.key
    assert "77.7" in visitor.sees(page.accuracy.table)
    assert visitor.state(page.takeaway.spec) == other.spec
    assert visitor.sees(page.layers.table).count("data-site=") == 30
    assert "another" not in visitor.sees(page.provenance)


@pytest.mark.parametrize(
    ("control", "value", "event", "words"),
    [
        ("edits", "layers.0.ffn:ratio=2", "blur", "from 0 to 0.95"),
        ("edits", "<img src=x onerror=alert(1)>", "submit", "&lt;img"),
        ("seed", None, "blur", "the field is empty"),
        ("calibration", ["x" * 5000], "input", "calibration should"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_nothing_else_changes(
    studio: Studio, run: RunResult, control: str, value: Any, event: str, words: str
) -> None:
    page, visitor = opened(studio)
    seen = [page.verdict.text, page.layers.table, page.address, page.provenance, page.accuracy.table]
    before = [visitor.sees(component) for component in seen]
    visitor.sets(page.recipe.controls[control], value, event)
    assert words in visitor.sees(page.line)
    assert "<img" not in visitor.sees(page.line)
    assert [visitor.sees(component) for component in seen] == before
    assert visitor.state(page.bus.spec) == run.spec


def test_a_recipe_without_a_forecast_gives_the_reason(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.targets, "heads")
    visitor.sets(page.recipe.ratio, 0.9)
    assert "would leave layers.0.attention without units" in visitor.sees(page.line)
    assert visitor.state(page.bus.spec).ratio == 0.9, "it is the recipe all the same"
    assert "ratio=0.9" in visitor.sees(page.address)
    assert "Nothing is known of this recipe yet" in visitor.sees(page.verdict.text)
    assert "would leave layers.0.attention without units" in visitor.sees(page.verdict.text)
    visitor.sets(page.recipe.ratio, 0.3)
    assert visitor.sees(page.line) == ""


def test_another_model_clears_what_belonged_to_the_last_one(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.calibration, ["wiki"])
    visitor.sets(page.recipe.edits, "layers.0.ffn:ratio=0.2\n\nlayers.1.ffn:keep=1", "blur")
    assert len(visitor.state(page.bus.spec).edits) == 2
    visitor.sets(page.recipe.model, "demo/minilm-topic", "blur")
    spec = visitor.state(page.bus.spec)
    assert (spec.model, spec.edits, spec.calibration, spec.evaluate) == ("demo/minilm-topic", (), "auto", ("topic",))
    assert visitor.sees(page.recipe.edits) == ""
    assert visitor.sees(page.recipe.calibration) == ["auto"]


# -- another model ------------------------------------------------------------------------------------------------------


def chosen(page: Page, visitor: Visitor, model: str) -> None:
    """Choose a classifier; fail if any step shows answers or controls of a language model."""
    visitor.holds(page.recipe.model, model)
    panel = page.generations
    for _ in visitor.steps(page.recipe.model, "blur"):
        texts = [
            str(visitor.sees(block))
            for block in (panel.prompt, panel.examples, panel.stored, panel.live, panel.work.button)
        ]
        assert not [words for words in texts if "France" in words or words == "Generate"]
        assert visitor.prop(panel.prompt, "label") == "Sentence"
        assert not visitor.prop(panel.settings, "visible")
        assert "perplexity" not in visitor.sees(page.accuracy.table)


def test_the_simple_layout_opens_the_run_of_a_chosen_model(studio: Studio, run: RunResult) -> None:
    """The shipped run also removes heads, for which the simple layout has no control."""
    own = classifier_run()
    studio.store.ship(own)
    page, visitor = opened(studio)
    visitor.sets(page.recipe.ratio, 0.25)
    chosen(page, visitor, own.spec.model)
    assert visitor.state(page.bus.spec) == own.spec
    assert visitor.state(page.bus.shown) == own.spec.key
    assert visitor.sees(page.recipe.targets) == "both"
    assert "sentiment accuracy" in visitor.sees(page.verdict.text)
    assert "86.3 %" in visitor.sees(page.generations.stored)
    assert visitor.sees(page.generations.prompt) == examples(own)[0].prompt
    visitor.sets(page.recipe.model, run.spec.model, "blur")
    assert visitor.state(page.bus.spec) == PruneSpec(ratio=own.spec.ratio, evaluate=("perplexity", "out-of-domain"))
    assert visitor.sees(page.recipe.targets) == "ffn"
    assert visitor.sees(page.generations.prompt) == preset_prompts(run.spec.model)[0]


@pytest.mark.parametrize("layout", ["simple", "full"])
def test_a_model_without_a_run_leaves_nothing_of_another_one(studio: Studio, run: RunResult, layout: Layout) -> None:
    page, visitor = opened(studio)
    visitor.state_is(page.bus.view, View(layout=layout))
    chosen(page, visitor, "demo/minilm-sentiment")
    assert visitor.state(page.bus.shown) == ""
    assert "No run of this recipe" in visitor.sees(page.generations.stored)
    assert "No run of this recipe" in visitor.sees(page.accuracy.table)
    assert visitor.state(page.takeaway.spec) is None
    visitor.does(page.generations.work.button, "click")
    assert "No run of this recipe is shown yet" in visitor.sees(page.generations.work.status)


def test_the_full_layout_keeps_its_choices(studio: Studio, run: RunResult) -> None:
    studio.store.ship(classifier_run())
    page, visitor = opened(studio)
    visitor.state_is(page.bus.view, View(layout="full"))
    visitor.sets(page.recipe.ratio, 0.25)
    chosen(page, visitor, "demo/minilm-sentiment")
    assert (visitor.state(page.bus.spec).targets, visitor.state(page.bus.spec).ratio) == ("ffn", 0.25)


# -- opening a stored run -----------------------------------------------------------------------------------------------


def test_a_run_that_another_panel_asks_for_is_opened_everywhere(studio: Studio, run: RunResult) -> None:
    other = classifier_run()
    studio.store.save(other)
    page, _ = opened(studio)
    updates = page.explorer.open((other.spec.key, ""), View(), run.spec)
    assert updates[page.recipe.model] == other.spec.model
    assert updates[page.bus.spec] == other.spec
    assert updates[page.bus.shown] == other.spec.key
    assert "sentiment" in updates[page.accuracy.table]
    assert "sentiment accuracy" in updates[page.verdict.text]
    gone = page.explorer.open(("0" * 64, ""), View(), run.spec)
    assert list(gone) == [page.line]
    assert "not kept here any more" in gone[page.line]


# -- wiring -------------------------------------------------------------------------------------------------------------


def test_a_state_with_listeners_is_written_by_queued_events_alone(page: Page) -> None:
    """Gradio reports a changed state to the client only after events that went through its queue."""
    functions = page.blocks.fns.values()
    listened = {id for function in functions for id, event in function.targets if event == "change"}
    for function in functions:
        if function.fn and any(block.stateful and block._id in listened for block in function.outputs):
            assert function.queue is not False, function.fn


def test_recipe_and_view_are_read_and_written_at_once(page: Page) -> None:
    """Gradio awaits each other block between two states, and answers another event there: with the new view of the old
    recipe, it wrote an address that the page never had."""
    by_hand = page.layers.inspector.by_hand
    together = [page.bus.view, page.bus.spec, page.bus.shown, page.explorer.drawn]
    together += [by_hand.decided, by_hand.taken, by_hand.filled]
    for function in page.blocks.fns.values():
        for blocks in (function.inputs, function.outputs):
            places = [place for place, block in enumerate(blocks) if block in together]
            assert not places or places[-1] - places[0] == len(places) - 1, function.name


def test_the_controls_are_filled_before_the_headline_changes(page: Page) -> None:
    """The browser sets one after the other, and a visitor who sees the new headline types into a field."""
    places = page.explorer.outputs
    assert max(map(places.index, page.recipe.controls.values())) < places.index(page.verdict.text)


def test_a_need_counts_layers_and_not_tokens_that_are_not_known_yet(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio, "layout=full")
    visitor.sets(page.recipe.layers, 0.34, "submit")
    visitor.sets(page.recipe.need, "80 %", "submit")
    assert visitor.state(page.bus.spec).layers == 0.34
    ratio = visitor.state(page.bus.spec).ratio
    assert 0 < ratio < 0.3, "one of three layers leaves 82 %"
    visitor.sets(page.recipe.need, "90 %", "submit")
    assert (visitor.state(page.bus.spec).targets, visitor.state(page.bus.spec).ratio) == ("layers", 0.34)
    visitor.sets(page.recipe.vocabulary, "20", "submit")
    visitor.sets(page.recipe.need, "60 %", "submit")
    assert "the tokens that go are not counted before they are known" in visitor.sees(page.line)
    assert visitor.state(page.bus.spec).ratio == 0.34


def test_a_need_of_the_simple_layout_spreads_over_layers_too_and_the_bar_says_so(
    studio: Studio, run: RunResult
) -> None:
    atlas = tiny_atlas(run.spec)
    studio.atlases.save(replace(atlas, facts=atlas.facts.model_copy(update={"loses_layers": True})))
    page, visitor = opened(studio)
    visitor.sets(page.recipe.need, "75 %", "submit")
    spec = visitor.state(page.bus.spec)
    assert (spec.layers, spec.ratio > 0) == (0.33, True)
    assert "1 of 3 layers, then a ratio of " in visitor.sees(page.line)
    assert "layers 18 % and neurons" in visitor.sees(page.explorer.picture.budget)
    assert "What whole layers cost is not known" in visitor.sees(page.verdict.text)
    visitor.sets(page.recipe.need, "95 %", "submit")
    assert visitor.state(page.bus.spec).layers == 0, "half of what goes is less than half of a layer"
    visitor.sets(page.recipe.need, "75 %", "submit")
    visitor.sets(page.recipe.ratio, 0.3)
    assert visitor.state(page.bus.spec).layers == visitor.sees(page.recipe.layers) == 0, (
        "no control here puts them back"
    )
    assert "not known" not in visitor.sees(page.verdict.text)
    assert visitor.sees(page.recipe.need) == "", "it is met no more"


def test_a_need_sets_the_ratio(studio: Studio, run: RunResult) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.need, "95 %", "submit")
    ratio = visitor.state(page.bus.spec).ratio
    assert 0 < ratio < 1
    assert visitor.sees(page.recipe.ratio) == ratio
    assert f"A ratio of {ratio:g} meets that: " in visitor.sees(page.line)
    assert "Interpolated" in visitor.sees(page.verdict.text)
    visitor.sets(page.recipe.need, "a lot", "submit")
    assert "is no need that is known" in visitor.sees(page.line)
    assert visitor.state(page.bus.spec).ratio == ratio, "nothing is lost"
    visitor.sets(page.recipe.need, "1.4 x", "submit")
    assert "the dense perplexity, between the dense model and the run at 50 %." in visitor.sees(page.line)
    found = visitor.state(page.bus.spec).ratio
    assert f"perplexity about {16.2 * (42.4 / 16.2) ** (found / run.spec.ratio):.1f}" in visitor.sees(page.verdict.text)
    studio.store.delete(run.spec.key)
    visitor.sets(page.recipe.need, "1.4 x", "submit")
    assert "the curves forecast" in visitor.sees(page.line)
    visitor.holds(page.recipe.edits, "layers.0.ffn:keep=1")
    visitor.sets(page.recipe.need, "95 %", "submit")
    assert visitor.state(page.bus.spec).edits == ("layers.0.ffn:keep=1",)
