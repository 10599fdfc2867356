"""Applying a recipe again: a reload joins its run, and a measured recipe is shown at once."""

from __future__ import annotations

import pytest

from components.rail.recipe import default_spec
from components.shared.prompts import preset_prompts
from components.shared.studio import Studio
from liar.events import Finished
from tests.components.applying import Pipeline, applied, is_idle, result, visit
from tests.components.visitor import Page, Visitor, build_page
from tests.fake_atlas import tiny_atlas


@pytest.fixture
def page(studio: Studio) -> Page:
    """The page of a server that has an atlas and no run."""
    studio.atlases.save(tiny_atlas(default_spec()))
    return build_page(studio)


# -- a page that was closed or reloaded ---------------------------------------------------------------------------------


def test_a_reload_joins_the_run_that_goes_on(page: Page, pipeline: Pipeline) -> None:
    applied(page, visit(page), "Measuring perplexity").close()  # type: ignore[attr-defined]
    again = Visitor(page.blocks, session="again")
    for _ in again.steps(page.blocks, "load"):
        if "Measuring perplexity" in again.sees(page.line):
            assert not is_idle(page, again)
            pipeline.gate.set()
    assert "Done." in again.sees(page.line)
    assert is_idle(page, again)
    assert "Measured" in again.sees(page.verdict.text)
    assert len(pipeline.asked) == 1


def test_a_run_is_kept_without_a_page_that_watches_its_end(page: Page, pipeline: Pipeline) -> None:
    applied(page, visit(page), "Measuring perplexity").close()  # type: ignore[attr-defined]
    job = page.studio.jobs.find(default_spec().key)
    assert job is not None
    pipeline.gate.set()
    *_, last = page.studio.jobs.watch(job)
    assert last.state == "done"
    visitor = visit(page, "again")
    assert "Measured" in visitor.sees(page.verdict.text)
    assert is_idle(page, visitor)


def test_a_run_that_ends_after_its_visitor_chose_another_model_leaves_nothing_of_that(
    page: Page, pipeline: Pipeline
) -> None:
    visitor = visit(page)
    steps = applied(page, visitor, "Measuring perplexity")
    visitor.sets(page.recipe.model, "demo/minilm-topic", "blur")
    assert visitor.sees(page.generations.prompt) == preset_prompts("demo/minilm-topic")[0]
    pipeline.gate.set()
    for _ in steps:
        has_headline = "perplexity" in visitor.sees(page.verdict.text)
        assert has_headline == (visitor.sees(page.generations.prompt) == preset_prompts("")[0])
    assert visitor.sees(page.recipe.model) == default_spec().model
    assert visitor.prop(page.generations.prompt, "label") == "Prompt"


# -- an edit by hand ------------------------------------------------------------------------------------------------------


def test_the_run_has_the_edit_that_stands_in_its_field(page: Page, pipeline: Pipeline) -> None:
    visitor, edit = visit(page), "layers.0.ffn:keep=1"
    pipeline.gate.set()
    for part, event in ((page.apply.work.button, "click"), (page.apply.work.status, "select")):
        visitor.holds(page.recipe.edits, edit)
        visitor.does(part, event)
    assert [asked.edits for asked, _ in pipeline.asked] == [(edit,), (edit,)]
    assert visitor.sees(page.recipe.edits) == edit


# -- a recipe that is measured already ------------------------------------------------------------------------------------


def test_a_measured_recipe_is_shown_at_once_and_can_be_run_again(page: Page, pipeline: Pipeline) -> None:
    spec = default_spec().model_copy(update={"seed": 7})
    page.studio.store.save(result(spec))
    visitor = visit(page)
    visitor.holds(page.recipe.seed, 7)  # typed, without the event of leaving the field
    visitor.does(page.apply.work.button, "click")
    assert pipeline.asked == []
    assert "already measured" in visitor.sees(page.line)
    assert "Run again" in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert visitor.state(page.bus.shown) == spec.key
    assert "110.7" in visitor.sees(page.accuracy.table)
    assert "Measured" in visitor.sees(page.verdict.text)

    pipeline.gate.set()
    newer = result(spec).model_copy(update={"timings": {"prune": 1.0}})
    pipeline.ends = lambda _: Finished(newer)
    visitor.does(page.apply.work.status, "select")
    assert [asked for asked, _ in pipeline.asked] == [spec]
    assert "Done." in visitor.sees(page.line)
    assert page.studio.store.find(spec) == newer

    visitor.does(page.apply.work.button, "click")
    assert "already measured" in visitor.sees(page.line), "also after a run of it"
    visitor.sets(page.recipe.ratio, 0.3)
    assert "Run again" not in visitor.sees(page.line), "the offer was of another recipe"
