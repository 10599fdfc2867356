"""Size and speed of the run shown: measured as a job, never shown under another run, found again after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import gradio as gr
import pytest

from components.measured.size_and_speed import CostsPanel
from components.shared.panel import Updates
from components.shared.studio import Studio
from liar.evaluate.timing import size_and_speed
from liar.events import Progress
from liar.jobs import restore
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.results import RunResult
from server.model_registry import ModelRegistry
from tests import tiny
from tests.components import visitor
from tests.components.visitor import VISITOR, request
from tests.fakes import classifier_run, costs_result

RUN, OTHER = classifier_run(), classifier_run(ratio=0.25)
KEY, ANOTHER = RUN.spec.key, OTHER.spec.key


def three() -> Variants:
    return Variants(tiny.classifier(), tiny.classifier())


@pytest.fixture
def panel(studio: Studio) -> CostsPanel:
    for run in (RUN, OTHER):
        studio.store.save(run)
    registry = ModelRegistry(10**9, lambda *_: tiny.classifier())
    return visitor.Page(replace(studio, registry=registry)).accuracy.costs  # type: ignore[no-any-return]


def line(panel: CostsPanel, updates: Updates) -> str:
    return str(updates.get(panel.work.status, ""))


@pytest.fixture
def held(panel: CostsPanel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Keep the models in memory and replace the measurement by one that waits for the event."""
    gate = Event()

    def steps(*_: Any) -> Iterator[Any]:
        yield 1, 16
        while not gate.wait(0.01):
            yield 2, 16
        return costs_result()

    monkeypatch.setattr(size_and_speed, "compare_steps", steps)
    for key in (KEY, ANOTHER):
        panel.studio.registry.keep(key, three())
    yield gate
    gate.set()


def test_both_models_are_measured_for_real(panel: CostsPanel) -> None:
    panel.studio.registry.keep(KEY, three())
    first, *_, last = list(panel.measure(KEY, VISITOR))
    work = panel.work
    assert not first[work.button]["interactive"]
    assert first[work.stop]["interactive"]
    assert last[work.button]["interactive"]
    assert "Done." in line(panel, last)
    speeds = ("MACs a token, 64 in sight", "texts of 64 tokens a second", "7 turns")
    for words in ("parameters", *speeds, "Nothing was saved"):
        assert words in last[panel.table]


@pytest.mark.parametrize("key", ["", "no such run"])
def test_a_run_that_is_gone_is_a_sentence_with_a_way_out(panel: CostsPanel, key: str) -> None:
    (only,) = panel.measure(key, VISITOR)
    assert 'role="alert"' in line(panel, only)
    assert "press “Measure it”" in line(panel, only)
    assert only[panel.work.button]["interactive"]


def test_models_that_are_not_in_memory_are_pruned_once_more(panel: CostsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def restored(result: RunResult, loaded: LoadedModel) -> Iterator[Any]:
        yield Progress("prune", 1, 1, f"Pruned a site of {result.spec.model} to its stored mask")
        return Variants(tiny.classifier(), loaded)

    monkeypatch.setattr(restore, "restore_steps", restored)
    *_, last = panel.measure(KEY, VISITOR)
    assert "Done." in line(panel, last)
    assert "texts of 64 tokens a second" in last[panel.table]


def test_another_run_never_gets_the_figures_of_this_one(panel: CostsPanel, held: Event) -> None:
    """Two visitors wait for one job, and one of them opens another run."""
    one, two = (panel.measure(KEY, request(name)) for name in ("one", "two"))
    id = next(update[panel.work.job] for update in one if panel.work.job in update)
    next(two)
    turned = panel.change_run(id, ANOTHER, request("one"))
    assert turned[panel.table] == ""
    held.set()
    assert all(panel.table not in update for update in one)
    *_, last = two
    assert "91.0\xa0M" in last[panel.table]


def test_the_run_that_is_measured_is_turned_to_without_an_end(panel: CostsPanel, held: Event) -> None:
    """As when a link opens a run whose measurement is in progress: the job must not be stopped."""
    watching = panel.measure(KEY, VISITOR)
    id = next(update[panel.work.job] for update in watching if panel.work.job in update)
    assert panel.change_run(id, KEY, VISITOR) == {panel.table: gr.skip()}
    held.set()
    *_, last = watching
    assert "Done." in line(panel, last)
    figures = ("<td>130.0\xa0M</td><td>91.0\xa0M</td>", "1.40\xa0x (1.30\xa0to\xa01.50)")
    for words in (*figures, "<li>1.20 times as fast at writing.</li>"):
        assert words in last[panel.table]


def test_a_reloaded_page_finds_the_job_and_later_its_figures(panel: CostsPanel, held: Event) -> None:
    assert [update[panel.table] for update in panel.resume(KEY, VISITOR)] == [""], "nothing was begun"
    next(panel.measure(KEY, VISITOR))
    panel.studio.jobs.leave("visitor")
    back = panel.resume(KEY, request("the same, back again"))
    assert not next(back)[panel.work.button]["interactive"]
    held.set()
    *_, last = back
    assert "91.0\xa0M" in last[panel.table]
    assert [update[panel.table] for update in panel.resume(KEY, VISITOR)] == [last[panel.table]]
    assert panel.change_run("", KEY, VISITOR)[panel.table] == last[panel.table]
    assert panel.change_run("", ANOTHER, VISITOR)[panel.table] == ""
