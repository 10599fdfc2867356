"""The button "Measure it": however a run ends, the buttons are enabled again and the page keeps its content; a reload joins
it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import liar.jobs.pipeline
from components.apply import Drawing
from components.rail.recipe import default_spec
from components.shared.job_bodies import preset_prompts, pruning
from components.shared.lookup import Pruned
from components.shared.studio import Studio
from liar.errors import CalibrationError
from liar.events import Evaluated, Event, Finished, SiteDone
from liar.report.view import View
from liar.spec import PruneSpec
from server.job import Snapshot
from server.model_registry import ModelRegistry
from tests.components.conftest import SITES, Pipeline, applied, is_idle, result
from tests.components.visitor import VISITOR, Page, Visitor, opened, visit
from tests.fake_atlas import tiny_atlas

# -- runs that finish ---------------------------------------------------------------------------------------------------


def test_a_run_shows_its_sites_before_its_metrics_and_ends_stored_and_in_every_panel(
    page: Page, pipeline: Pipeline
) -> None:
    visitor = visit(page)
    visitor.sets(page.recipe.ratio, 0.4)
    steps = applied(page, visitor, "Measuring perplexity")
    assert not is_idle(page, visitor)
    assert visitor.sees(page.layers.table).count("data-site=") == len(SITES)
    assert "768 of 1,536" in visitor.sees(page.layers.table)
    assert "gone: being measured." in visitor.sees(page.verdict.text)
    pipeline.gate.set()
    list(steps)
    assert "Measured" in visitor.sees(page.verdict.text)
    spec = default_spec().model_copy(update={"ratio": 0.4})
    assert page.studio.store.find(spec) == result(spec)
    assert "Done." in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert "110.7" in visitor.sees(page.verdict.text)
    assert "110.7" in visitor.sees(page.accuracy.table)
    assert visitor.state(page.bus.shown) == spec.key
    assert "another" not in visitor.sees(page.provenance)
    assert visitor.sees(page.address) == spec.to_query()
    assert pipeline.asked == [(spec, preset_prompts(spec.model))]
    assert pipeline.closed == 1


def test_each_metric_is_handed_out_with_the_sites_and_drawn(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    run = result(default_spec())
    done = [SiteDone(report, place, len(SITES)) for place, report in enumerate(SITES, start=1)]
    given: dict[str, Any] = {}

    def stream(*_: object, **choices: Any) -> Iterator[Event]:
        given.update(choices)
        yield from (*done, *map(Evaluated, run.evaluations), Finished(run))

    monkeypatch.setattr(liar.jobs.pipeline, "stream", stream)
    parts = [part for part in pruning(studio, default_spec()) if isinstance(part, Pruned)]
    assert [part.evaluations for part in parts] == [
        run.evaluations[:count] for count in range(len(run.evaluations) + 1)
    ]
    assert all(part.sites == SITES for part in parts)
    assert (given["store"], given["keep_calibration"]) == (studio.store.dense, True)
    line = [Snapshot("id", "", "running", handed_out=parts[:count]) for count in range(3)]
    apply = Page(studio).apply
    assert [apply._show(each)[apply.drawing] for each in line] == [
        Drawing(),
        Drawing("sites", "id", 1),
        Drawing("sites", "id", 2),
    ]


def test_every_message_of_a_run_has_the_whole_line(page: Page, pipeline: Pipeline) -> None:
    """Gradio's client applies only the last of two updates that arrive together, so each must enable Stop."""
    job = page.studio.jobs.submit(
        "visitor", "k", "A run", lambda: pipeline.stream(default_spec(), None, prompts=[], earlier=None, store=None)
    )
    line = {page.apply.work.button, page.apply.work.stop, page.apply.work.status}
    messages = 0
    for updates in page.apply.work.watch(job, VISITOR, page.apply._show):
        assert line <= updates.keys()
        messages += 1
        if messages == 2:
            pipeline.gate.set()
    assert messages > 2


def test_a_site_chosen_while_it_ran_is_still_chosen(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    steps = applied(page, visitor, "Measuring perplexity")
    visitor.does(page.layers.table, "select", {"site": "layers.0.attention"})
    pipeline.gate.set()
    list(steps)
    assert "site=layers.0.attention" in visitor.sees(page.address)
    assert 'data-site="layers.0.attention" aria-pressed="true"' in visitor.sees(page.layers.table)


@pytest.mark.parametrize("drawn", [True, False], ids=["an atlas", "no atlas"])
def test_measured_sites_stay_while_the_view_changes_until_their_run_ends(
    studio: Studio, pipeline: Pipeline, drawn: bool
) -> None:
    if drawn:
        studio.atlases.save(tiny_atlas(default_spec()))
    page, visitor = opened(studio)

    def picture() -> list[object]:
        seen = (page.verdict.text, page.layers.heading, page.layers.table)
        return [visitor.sees(page.layers.plot) is None, *(visitor.sees(part) for part in seen)]

    before = picture()
    assert before[0] is not drawn, "without an atlas nothing is known of the recipe"
    steps = applied(page, visitor, "Measuring perplexity")
    measured = visitor.sees(page.layers.table)
    assert visitor.sees(page.layers.plot) is not None
    assert "768 of 1,536" in measured
    for _ in range(2):
        assert "gone: being measured." in visitor.sees(page.verdict.text)
        assert "Measured" in visitor.sees(page.layers.heading)
        visitor.state_is(page.bus.view, View(layout="full", tab="accuracy"))
        visitor.does(page.bus.view, "change")
        assert visitor.sees(page.layers.table) == measured
    visitor.does(page.apply.work.stop, "click")
    list(steps)
    assert picture() == before


def test_a_model_outside_the_lists_is_measured_on_its_own_task(
    page: Page, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = ModelRegistry.get

    def with_task(registry: ModelRegistry, *names: Any) -> Any:
        loaded: Any = get(registry, *names)
        loaded.task = "topic"
        return loaded

    monkeypatch.setattr(ModelRegistry, "get", with_task)
    visitor = visit(page)
    visitor.sets(page.recipe.model, "somebody/else", "blur")
    steps = applied(page, visitor, "Measuring perplexity")
    assert "768 of 1,536" in visitor.sees(page.layers.table), "its sites come before its metrics"
    pipeline.gate.set()
    list(steps)
    assert "Measured" in visitor.sees(page.verdict.text)
    ((spec, _),) = pipeline.asked
    assert (spec.model, spec.evaluate) == ("somebody/else", ("topic",))
    assert "evaluate=topic" in visitor.sees(page.address)
    assert visitor.state(page.bus.spec) == spec

    again = visit(page, spec.model_copy(update={"evaluate": ()}).to_query(), "again")
    assert "Measured" in again.sees(page.verdict.text), "its task is known now"
    again.does(page.apply.work.button, "click")
    assert "already measured" in again.sees(page.line)
    assert len(pipeline.asked) == 1


@pytest.mark.parametrize(
    ("kept", "choices", "known"),
    [
        (True, {"ratio": 0.3, "reconstruction": "bias", "seed": 4}, True),
        (True, {"tokens": 1_000_000}, False),
        (True, {"evaluate_limit": 3}, False),
        (True, {"targets": "both"}, False),
        (False, {"ratio": 0.3}, False),
    ],
)
def test_a_time_is_expected_only_of_as_much_work_on_this_machine(
    page: Page, kept: bool, choices: dict[str, Any], known: bool
) -> None:
    run = result(default_spec()).model_copy(update={"timings": {"calibrate": 30.0, "prune": 40.0}})
    keep = page.studio.store.save if kept else page.studio.store.ship
    keep(run)
    assert page.apply._expected(default_spec().model_copy(update=choices)) == (70.0 if known else None)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_costs_the_file_and_not_the_figures(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert "The disk is full" in visitor.sees(page.line)
    visitor.does(page.layers.table, "select", {"site": "layers.0.attention"})
    assert "Measured" in visitor.sees(page.verdict.text)
    assert "110.7" in visitor.sees(page.accuracy.table)
    assert is_idle(page, visitor)


# -- runs that fail, are stopped or cannot start ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            CalibrationError("The text is empty; give it some <words>."),
            "The text is empty; give it some &lt;words&gt;.",
        ),
        (ZeroDivisionError("division by zero"), "the log of the server has more"),
    ],
    ids=["expected", "a bug"],
)
def test_a_failure_is_a_sentence_and_keeps_what_was_shown(
    page: Page, pipeline: Pipeline, caplog: pytest.LogCaptureFixture, error: Exception, words: str
) -> None:
    def bad(spec: PruneSpec) -> Event:
        raise error

    shown = result(default_spec())
    page.studio.store.save(shown)
    page, visitor = opened(page.studio)
    visitor.sets(page.recipe.seed, 7, "blur")
    before = visitor.sees(page.accuracy.table)
    pipeline.ends = bad
    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert 'role="alert"' in visitor.sees(page.line)
    assert words in visitor.sees(page.line)
    assert "division" not in visitor.sees(page.line)
    assert ("ZeroDivisionError" in caplog.text) is isinstance(error, ZeroDivisionError)
    assert is_idle(page, visitor)
    assert visitor.sees(page.accuracy.table) == before
    assert visitor.state(page.bus.shown) == shown.spec.key
    assert page.studio.store.runs() == [shown]


def test_stop_ends_the_run_and_another_can_begin(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    steps = applied(page, visitor, "Measuring perplexity")
    visitor.does(page.apply.work.stop, "click")
    list(steps)
    assert "Stopped." in visitor.sees(page.line)
    visitor.does(page.apply.work.stop, "click")
    assert "Stopped." in visitor.sees(page.line), "an answer to Stop that comes late takes nothing back"
    assert is_idle(page, visitor)
    assert page.studio.store.runs() == []
    assert pipeline.closed == 1

    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert "Done." in visitor.sees(page.line)


def test_a_recipe_that_cannot_be_starts_nothing(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    visitor.sets(page.recipe.seed, None, "blur")
    visitor.does(page.apply.work.button, "click")
    assert "the field is empty" in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert pipeline.asked == []


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
    visitor = visit(page, session="again")
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
        assert has_headline == ("capital of France" in visitor.sees(page.generations.prompt))
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
