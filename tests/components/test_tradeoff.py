"""A sweep is a job: each point is drawn and stored when it is finished, and stays however the job ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import gradio as gr
import pytest

import liar.jobs.sweep
from components.rail.recipe import default_spec
from components.shared.panel import Updates
from components.shared.studio import Studio
from liar.errors import CalibrationError
from liar.events import Progress
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec, SweepSpec
from server.profile import LOCAL, PUBLIC, Profile
from tests.components import visitor
from tests.components.visitor import VISITOR
from tests.fakes import classifier_run, language_run


class Page:
    spec = language_run().spec

    def __init__(self, studio: Studio) -> None:
        self.store, self.panel = studio.store, visitor.Page(studio).tradeoff

    def sweep(self, number: int = 3, compared: str = "nothing", spec: PruneSpec = spec) -> Iterator[Updates]:
        names: Any = (compared, ["none", "bias", "liar"], ["wanda", "obs"])
        return self.panel.sweep(spec, 0.2, 0.6, number, *names, VISITOR)

    def drawn(self, **choices: Any) -> Updates:
        defaults = {"everything": False, "task": None, "cost": "parameters", "job": ""}
        return self.panel.redraw(self.spec, "", **{**defaults, **choices})

    def line(self, updates: Updates) -> str:
        return str(updates[self.panel.work.status])


@pytest.fixture
def page(studio: Studio) -> Page:
    return Page(studio)


Steps = Callable[[SweepSpec], Iterator[Any]]


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Steps], None]:
    """Function that replaces the steps of the library's sweep."""

    def install(steps: Steps) -> None:
        monkeypatch.setattr(liar.jobs.sweep, "sweep_steps", lambda sweep, loaded, store: steps(sweep))

    return install


def point(spec: PruneSpec) -> RunResult:
    return language_run().model_copy(update={"spec": spec})


def good(sweep: SweepSpec) -> Iterator[Any]:
    for done, spec in enumerate(sweep.specs):
        yield Progress("prune", done, len(sweep.specs), "Pruning", 90.0 if done else None)
        yield point(spec)


def held(gate: Event) -> Steps:
    """A sweep that does one run and then waits; the worker checks after every step whether to go on."""

    def steps(sweep: SweepSpec) -> Iterator[Any]:
        yield point(sweep.specs[0])
        while not gate.is_set():
            yield Progress("prune", 1, 3, "Pruning", 90.0)
            gate.wait(0.01)

    return steps


def points_of(figure: Any) -> set[str]:
    return {key for trace in figure.data for key in (trace.customdata if trace.customdata is not None else ())}


# -- before anything was computed ---------------------------------------------------------------------------------------


def test_stored_runs_of_the_model_are_there_from_the_start(page: Page) -> None:
    evaluate = default_spec().evaluate  # the page opens with the run of this recipe
    runs = [language_run(ratio=ratio, evaluate=evaluate) for ratio in (0.2, 0.5)]
    for run in (*runs, classifier_run()):
        page.store.save(run)
    built = Page(page.panel.studio).panel
    expected = {run.spec.key for run in runs}
    assert all(key in str(built.table.value) for key in expected)
    assert "2 runs that differ from the recipe" in str(built.sentence.value)
    updates = page.drawn()
    assert points_of(updates[page.panel.ratio]) == points_of(updates[page.panel.pareto]) == expected


def test_all_runs_are_shown_and_named_as_all_only_when_asked(page: Page) -> None:
    """The checkbox for all runs is ticked by the user only, even if few or no runs are like the recipe."""
    model, sentence = page.spec.model, page.panel.sentence
    assert "No run of this model is stored yet" in page.drawn()[sentence]
    others = [language_run(allocation="uniform"), language_run(allocation="global")]
    alike = [
        language_run(),
        language_run(ratio=0.2),
        language_run(criterion="wanda"),
        language_run(reconstruction="bias"),
    ]
    for run in others:
        page.store.save(run)
    assert points_of(page.drawn()[page.panel.ratio]) == set()
    assert f"2 runs of {model} are stored, none like the recipe" in page.drawn()[sentence]
    page.store.save(alike[0])
    assert "1 run that differs from the recipe in no more than" in page.drawn()[sentence]
    for run in alike[1:]:
        page.store.save(run)
    assert points_of(page.drawn()[page.panel.ratio]) == {run.spec.key for run in alike}
    assert f"6 runs of {model} are stored." in page.drawn()[sentence]
    everything = page.drawn(everything=True)
    assert points_of(everything[page.panel.ratio]) == {run.spec.key for run in (*alike, *others)}
    assert f"All 6 stored runs of {model}." in everything[sentence]


def test_the_figures_follow_a_recipe_that_changes_in_more_than_the_ratio(page: Page) -> None:
    here, key = View(tab="trade-off"), page.panel.redraw_key
    assert page.panel.show(page.spec, None) == {key: page.spec.key}
    picture = page.panel.refresh(here, page.spec, "")[key]
    moved = page.spec.model_copy(update={"ratio": 0.3})
    assert page.panel.refresh(here, moved, picture) == {key: gr.skip(), page.panel.criteria.key: moved.key}
    other = page.panel.refresh(here, page.spec.model_copy(update={"targets": "both"}), picture)
    assert other[key] not in (gr.skip(), picture)
    assert page.panel.refresh(View(), page.spec, "") == {page.panel.redraw_key: gr.skip()}


# -- a sweep ------------------------------------------------------------------------------------------------------------


def test_points_come_one_by_one_and_are_stored(page: Page, sweeps: Any) -> None:
    sweeps(good)
    updates, work = list(page.sweep(compared="criteria")), page.panel.work
    stored = {run.spec for run in page.store.summaries()}
    assert {spec.ratio for spec in stored} == {0.2, 0.4, 0.6}
    assert {(spec.criterion, spec.reconstruction) for spec in stored} == {
        (name, page.spec.reconstruction) for name in ("wanda", "obs")
    }
    running = [update for update in updates if work.job in update]
    assert all({work.button, work.stop, work.status, work.remembered} <= update.keys() for update in running)
    last = updates[-1]
    assert "Done: 6 runs of demo/smollm2-135m" in page.line(last)
    assert last[work.button]["interactive"]
    assert not last[work.stop]["interactive"]
    assert page.panel.redraw_key in last, "the last point is drawn"
    assert points_of(page.drawn()[page.panel.ratio]) == {spec.key for spec in stored}


def test_stop_keeps_the_points_that_are_there(page: Page, sweeps: Any) -> None:
    gate, updates = Event(), Updates()
    sweeps(held(gate))
    for updates in page.sweep():
        if "1 of 3 runs done" in page.line(updates):
            assert "About 90 s left" in page.line(updates) or "min left" in page.line(updates)
            page.panel.work.end(updates[page.panel.work.job], VISITOR)
    gate.set()
    assert "Stopped; 1 run done." in page.line(updates)
    assert len(page.store.summaries()) == 1


def test_a_failure_is_one_sentence_and_the_points_stay(page: Page, sweeps: Any) -> None:
    def bad(sweep: SweepSpec) -> Iterator[Any]:
        yield point(sweep.specs[0])
        raise CalibrationError("The text is empty; give it some words.")

    sweeps(bad)
    *_, last = page.sweep()
    assert "The text is empty; give it some words. 1 run done before that." in page.line(last)
    assert 'role="alert"' in page.line(last)
    assert last[page.panel.work.button]["interactive"]
    assert len(page.store.summaries()) == 1


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_costs_the_files_and_not_the_points(page: Page, sweeps: Any) -> None:
    sweeps(good)
    updates = list(page.sweep())
    assert "3 of them could not be stored" in page.line(updates[-1])
    (job,) = {update[page.panel.work.job] for update in updates if page.panel.work.job in update}
    assert len(points_of(page.drawn(job=job)[page.panel.ratio])) == 3


@pytest.mark.parametrize(
    ("profile", "model", "number", "words"),
    [
        (LOCAL, "demo/minilm", 14, "That makes 42 runs, and 40"),
        (LOCAL, "demo/minilm", 21, "1 to 20 ratios"),
        (PUBLIC, "demo/minilm", 7, "20 is the most"),
        (PUBLIC, "somebody/model", 1, "does not offer"),
    ],
)
def test_too_much_or_a_model_that_is_not_offered_starts_nothing(
    page: Page, profile: Profile, model: str, number: int, words: str
) -> None:
    page.panel.studio = replace(page.panel.studio, profile=profile)
    (only,) = page.sweep(number, "reconstructions", PruneSpec(model=model))
    assert words in page.line(only)
    assert only[page.panel.work.button]["interactive"]


def test_a_browser_finds_again_only_what_this_button_began(page: Page, sweeps: Any) -> None:
    leave = Event()
    sweeps(held(leave))
    work = page.panel.work
    watching = page.sweep()
    id = next(updates[work.remembered] for updates in watching if work.remembered in updates)
    masks = page.panel.masks

    def resumed(id: str | None) -> Iterator[Updates]:
        return work.resume(work.jobs.get(id), VISITOR, page.panel._show)

    elsewhere = masks.work.resume(work.jobs.get(id), VISITOR, masks._show)
    assert list(elsewhere) == [{masks.work.status: gr.skip()}], "another button's job"
    for unknown in (None, "", "made up"):
        assert list(resumed(unknown)) == [{work.status: gr.skip()}]
    again = resumed(id)
    assert not next(again)[work.button]["interactive"]
    leave.set()
    assert "Done: 3 runs" in page.line(list(again)[-1])
    assert list(resumed(id)) == [{work.status: gr.skip()}], "it has ended"
