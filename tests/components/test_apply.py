"""The Apply button: however a run ends, the buttons are enabled again and the page keeps its content."""

from __future__ import annotations

from typing import Any

import pytest

from components.rail.recipe import default_spec
from components.shared.prompts import preset_prompts
from components.shared.studio import Studio
from liar.errors import CalibrationError, StorageError
from liar.events import Event
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec
from server.model_registry import ModelRegistry
from tests.components.applying import REQUEST, SITES, Pipeline, applied, is_idle, result, visit
from tests.components.visitor import Page, Visitor, build_page
from tests.fake_atlas import tiny_atlas


@pytest.fixture
def page(studio: Studio) -> Page:
    """The page of a server that has an atlas and no run."""
    studio.atlases.save(tiny_atlas(default_spec()))
    return build_page(studio)


# -- runs that finish ---------------------------------------------------------------------------------------------------


def test_a_run_ends_stored_and_in_every_panel(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    pipeline.gate.set()
    visitor.sets(page.recipe.ratio, 0.4)
    visitor.does(page.apply.work.button, "click")
    spec = default_spec().model_copy(update={"ratio": 0.4})
    assert page.studio.store.find(spec) == result(spec)
    assert "Done." in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert "110.7" in visitor.sees(page.verdict.text)
    assert "110.7" in visitor.sees(page.accuracy.table)
    assert visitor.state(page.bus.shown) == spec.key
    assert "another" not in visitor.sees(page.provenance.line)
    assert visitor.sees(page.address) == spec.to_query()
    assert pipeline.asked == [(spec, preset_prompts(spec.model))]
    assert pipeline.closed == 1


def test_the_heatmap_does_not_wait_for_the_metrics(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    steps = applied(page, visitor, "Measuring perplexity")
    assert not is_idle(page, visitor)
    assert visitor.sees(page.layers.table).count("data-site=") == len(SITES)
    assert "768 of 1,536" in visitor.sees(page.layers.table)
    assert "Predicted" in visitor.sees(page.verdict.text), "nothing is measured yet"
    pipeline.gate.set()
    list(steps)
    assert "Measured" in visitor.sees(page.verdict.text)


def test_every_message_of_a_run_has_the_whole_line(page: Page, pipeline: Pipeline) -> None:
    """Gradio's client applies only the last of two updates that arrive together, so each must enable Stop."""
    job = page.studio.jobs.submit(
        "visitor", "k", "A run", lambda: pipeline.stream(default_spec(), None, prompts=[], earlier=None)
    )
    line = {page.apply.work.button, page.apply.work.stop, page.apply.work.status}
    messages = 0
    for updates in page.apply._watch(job, REQUEST):
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
    page = build_page(studio)
    visitor = visit(page)
    before = visitor.sees(page.verdict.text)
    steps = applied(page, visitor, "Measuring perplexity")
    measured = visitor.sees(page.layers.table)
    assert "768 of 1,536" in measured
    headline = "Predicted" if drawn else "its metrics are being measured"
    for _ in range(2):
        assert headline in visitor.sees(page.verdict.text)
        assert "Measured" in visitor.sees(page.layers.heading)
        visitor.state_is(page.bus.view, View(layout="full", tab="accuracy"))
        visitor.does(page.bus.view, "change")
        assert visitor.sees(page.layers.table) == measured
    visitor.does(page.apply.work.stop, "click")
    list(steps)
    assert visitor.sees(page.verdict.text) == before
    assert "768 of 1,536" not in visitor.sees(page.layers.table)


def test_a_model_outside_the_lists_is_measured_on_its_own_task(
    page: Page, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = ModelRegistry.get

    def with_task(registry: ModelRegistry, *names: str) -> Any:
        loaded: Any = get(registry, *names)
        loaded.task = "topic"
        return loaded

    monkeypatch.setattr(ModelRegistry, "get", with_task)
    visitor = visit(page)
    pipeline.gate.set()
    visitor.sets(page.recipe.model, "somebody/else", "blur")
    visitor.does(page.apply.work.button, "click")
    ((spec, _),) = pipeline.asked
    assert (spec.model, spec.evaluate) == ("somebody/else", ("topic",))
    assert "evaluate=topic" in visitor.sees(page.address)
    assert visitor.state(page.bus.spec) == spec

    again = Visitor(page.blocks, spec.model_copy(update={"evaluate": ()}).to_query(), "again")
    again.opens()
    assert "Measured" in again.sees(page.verdict.text), "its task is known now"
    again.does(page.apply.work.button, "click")
    assert "already measured" in again.sees(page.line)
    assert len(pipeline.asked) == 1


def test_sites_of_a_model_outside_the_lists_come_before_its_metrics(
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
    assert "768 of 1,536" in visitor.sees(page.layers.table)
    pipeline.gate.set()
    list(steps)
    assert "Measured" in visitor.sees(page.verdict.text)


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
    store = page.studio.store
    if kept:
        store.save(run)
    else:
        store.ship(run)
    assert page.apply._expected(default_spec().model_copy(update=choices)) == (70.0 if known else None)


def test_a_full_disk_costs_the_file_and_not_the_figures(
    page: Page, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: RunResult) -> None:
        raise StorageError("The disk is full; free some space.")

    monkeypatch.setattr(page.studio.store, "save", full)
    visitor = visit(page)
    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert "The disk is full" in visitor.sees(page.line)
    visitor.does(page.layers.table, "select", {"site": "layers.0.attention"})
    assert "Measured" in visitor.sees(page.verdict.text)
    assert "110.7" in visitor.sees(page.accuracy.table)
    assert is_idle(page, visitor)


# -- runs that fail, are stopped or cannot start ------------------------------------------------------------------------


def test_an_expected_failure_is_its_own_sentence_and_keeps_what_was_shown(page: Page, pipeline: Pipeline) -> None:
    def bad(spec: PruneSpec) -> Event:
        raise CalibrationError("The text is empty; give it some <words>.")

    shown = result(default_spec())
    page.studio.store.save(shown)
    page = build_page(page.studio)
    visitor = visit(page)
    visitor.sets(page.recipe.seed, 7, "blur")
    before = visitor.sees(page.accuracy.table)
    pipeline.ends = bad
    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert "The text is empty; give it some &lt;words&gt;." in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert visitor.sees(page.accuracy.table) == before
    assert visitor.state(page.bus.shown) == shown.spec.key
    assert page.studio.store.runs() == [shown]


def test_a_bug_is_a_sentence_too_and_is_logged(
    page: Page, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(spec: PruneSpec) -> Event:
        raise ZeroDivisionError("division by zero")

    visitor = visit(page)
    pipeline.ends = broken
    pipeline.gate.set()
    visitor.does(page.apply.work.button, "click")
    assert 'role="alert"' in visitor.sees(page.line)
    assert "division" not in visitor.sees(page.line)
    assert is_idle(page, visitor)
    assert "ZeroDivisionError" in caplog.text


def test_stop_ends_the_run_and_the_forecast_is_back(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    forecasts = visitor.sees(page.layers.table)
    steps = applied(page, visitor, "Measuring perplexity")
    assert visitor.sees(page.layers.table) != forecasts
    visitor.does(page.apply.work.stop, "click")
    list(steps)
    assert "Stopped." in visitor.sees(page.line)
    visitor.does(page.apply.work.stop, "click")
    assert "Stopped." in visitor.sees(page.line), "an answer to Stop that comes late takes nothing back"
    assert is_idle(page, visitor)
    assert visitor.sees(page.layers.table) == forecasts
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


def test_a_stopped_run_of_an_unknown_recipe_leaves_no_picture(page: Page, pipeline: Pipeline) -> None:
    visitor = visit(page)
    visitor.sets(page.recipe.model, "demo/minilm-sentiment", "blur")
    assert visitor.sees(page.layers.plot) is None
    steps = applied(page, visitor, "Measuring perplexity")
    assert visitor.sees(page.layers.plot) is not None, "its own sites, before its metrics"
    assert "Measured" in visitor.sees(page.layers.heading)
    assert "its metrics are being measured" in visitor.sees(page.verdict.text)
    visitor.does(page.apply.work.stop, "click")
    list(steps)
    assert "Stopped." in visitor.sees(page.line)
    assert visitor.sees(page.layers.plot) is None
    assert "Measured" not in visitor.sees(page.layers.heading)
    assert "Nothing is known of this recipe yet" in visitor.sees(page.verdict.text)
