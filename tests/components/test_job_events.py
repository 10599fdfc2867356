"""The job: events in, updates out; whatever ends it, the buttons come back and the last result stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch

from components.address import address_bar
from components.panel import Updates
from components.recipe import Recipe, default_spec
from components.registry import ModelRegistry
from components.run import Job
from components.verdict import VerdictPanel
from liar.errors import CalibrationError, StorageError
from liar.events import Event, Finished, Progress
from liar.results import RunResult
from liar.store import RunStore
from tests.fakes import language_run


@dataclass
class Stream:
    """Stands where the pipeline stands; remembers what it was given and whether it was closed."""

    events: Callable[[Any], Iterator[Event]]
    closed: int = 0
    prompts: list[str] = field(default_factory=list)

    def __call__(self, spec: Any, loaded: Any = None, *, prompts: list[str]) -> Iterator[Event]:
        self.prompts = prompts
        try:
            yield from self.events(spec)
        finally:
            self.closed += 1


@dataclass
class Page:
    job: Job
    recipe: Recipe
    verdict: VerdictPanel
    store: RunStore

    def press(self, prompts: str = "Hello") -> Iterator[Updates]:
        """Updates of a click, with the controls as the page opened."""
        spec = default_spec()
        return self.job.go(spec, prompts, *(getattr(spec, name) for name in self.recipe.controls))

    def line(self, update: Updates) -> str:
        return str(update[self.job.status])

    def is_idle(self, update: Updates) -> bool:
        return bool(update[self.job.button]["interactive"]) and not update[self.job.stop]["interactive"]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    store = RunStore(tmp_path / "runs", shipped=tmp_path / "shipped")

    def load(model: str, device: str, dtype: str) -> Any:
        return SimpleNamespace(id=model, model=torch.nn.Linear(1, 1), task="perplexity")

    with gr.Blocks():
        recipe = Recipe(default_spec(), None)
        job = Job(recipe, store, ModelRegistry(1_000, load))
        verdict = VerdictPanel(None)
        job.wire([verdict], address_bar())
    return Page(job, recipe, verdict, store)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Iterator[Event]]], Stream]:
    def install(events: Callable[[Any], Iterator[Event]]) -> Stream:
        stream = Stream(events)
        monkeypatch.setattr("liar.pipeline.stream", stream)
        return stream

    return install


def good(spec: Any) -> Iterator[Event]:
    yield Progress("prune", 1, 2, "Pruned and repaired layers.0.ffn", 3.0)
    yield Finished(result(spec))


def result(spec: Any) -> RunResult:
    return language_run().model_copy(update={"spec": spec})


def test_a_run_ends_in_a_stored_result_on_the_page(page: Page, pipeline: Any) -> None:
    stream = pipeline(good)
    updates = list(page.press("one\ntwo"))
    assert any("layers.0.ffn" in page.line(update) for update in updates)
    last = updates[-1]
    assert page.is_idle(last)
    assert "110.7" in str(last[page.verdict.text])
    assert page.store.find(default_spec()) == result(default_spec())
    assert last[page.job.address] == default_spec().to_query()
    assert stream.prompts == ["one", "two"]
    assert stream.closed == 1


def test_an_expected_failure_is_its_own_sentence_and_keeps_what_was_shown(page: Page, pipeline: Any) -> None:
    def bad(spec: Any) -> Iterator[Event]:
        yield Progress("calibrate", 0, 1, "Reading")
        raise CalibrationError("The text is empty; give it some words.")

    pipeline(bad)
    last = list(page.press())[-1]
    assert "The text is empty; give it some words." in page.line(last)
    assert page.is_idle(last)
    assert page.verdict.text not in last
    assert page.store.runs() == []


def test_a_bug_is_a_sentence_too_and_is_logged(page: Page, pipeline: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(spec: Any) -> Iterator[Event]:
        yield Progress("prune", 0, 1, "Pruning")
        raise ZeroDivisionError("division by zero")

    pipeline(broken)
    last = list(page.press())[-1]
    assert page.is_idle(last)
    assert 'role="alert"' in page.line(last)
    assert "ZeroDivisionError" in caplog.text


def test_a_prompt_that_is_too_long_starts_nothing(page: Page, pipeline: Any) -> None:
    stream = pipeline(good)
    (last,) = page.press("x" * 100_000)
    assert page.is_idle(last)
    assert stream.closed == 0


def test_stop_closes_the_pipeline_and_the_next_run_goes_ahead(page: Page, pipeline: Any) -> None:
    stream = pipeline(good)
    running = page.press()
    while "layers.0.ffn" not in page.line(next(running)):
        pass
    running.close()  # type: ignore[attr-defined]
    assert stream.closed == 1
    assert page.store.runs() == []
    assert page.is_idle(list(page.press())[-1])


def test_a_full_disk_costs_the_file_and_not_the_figures(
    page: Page, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: RunResult) -> Path:
        raise StorageError("The disk is full; free some space.")

    pipeline(good)
    monkeypatch.setattr(page.store, "save", full)
    last = list(page.press())[-1]
    assert "The disk is full" in page.line(last)
    assert "110.7" in str(last[page.verdict.text])
    assert page.is_idle(last)
