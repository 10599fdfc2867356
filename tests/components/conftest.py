"""The services of a server without models, a stand-in for the pipeline that a test can pause, and what applies a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event as Gate
from typing import Any
from unittest.mock import Mock

import pytest
from gradio.routes import App

import liar.jobs.pipeline
from components.rail.recipe import default_spec
from components.shared.studio import Studio
from liar.errors import StorageError
from liar.events import Event, Finished, Progress, SiteDone
from liar.explore.forecast import forecast
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import MaskTableStore, RunStore
from server.model_registry import ModelRegistry
from tests.components.visitor import Page, Visitor
from tests.fake_atlas import tiny_atlas
from tests.fakes import language_run, site
from tests.studio import studio

__all__ = ["studio"]

SITES = [site(0, "attention"), site(0, "ffn")]


def result(spec: PruneSpec) -> RunResult:
    return language_run().model_copy(update={"spec": spec, "sites": SITES})


@dataclass
class Pipeline:
    """Stand-in for the pipeline: yields two sites, waits for ``gate``, then yields the event that ``ends`` returns."""

    gate: Gate = field(default_factory=Gate)
    ends: Callable[[PruneSpec], Event] = lambda spec: Finished(result(spec))
    asked: list[tuple[PruneSpec, list[str]]] = field(default_factory=list)
    closed: int = 0

    def stream(self, spec: PruneSpec, loaded: Any, *, prompts: list[str], **_: Any) -> Iterator[Event]:
        self.asked.append((spec, prompts))
        try:
            for done, report in enumerate(SITES, start=1):
                yield SiteDone(report, done, len(SITES))
                yield Progress("prune", done, len(SITES), f"Pruned and repaired {report.name}", 3.0, 0.5)
            while not self.gate.wait(0.02):
                yield Progress("evaluate", 1, 2, "Measuring perplexity", 3.0, 0.7)
            yield self.ends(spec)
        finally:
            self.closed += 1


@pytest.fixture(autouse=True)
def _without_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gradio make no routes of a page: that takes a third of the time of building it, and no test here serves one."""
    monkeypatch.setattr(App, "create_app", lambda *_, **__: None)


@pytest.fixture
def models(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models requested from the registry; empty unless a recipe is applied or calibrated."""
    asked: list[str] = []
    get = ModelRegistry.get

    def listed(registry: ModelRegistry, model: str, *choices: Any) -> Any:
        asked.append(model)
        return get(registry, model, *choices)

    monkeypatch.setattr(ModelRegistry, "get", listed)
    return asked


@pytest.fixture
def run(studio: Studio) -> RunResult:
    """The run that the page opens with; an atlas of its calibration is stored too."""
    atlas = tiny_atlas(default_spec())
    run = language_run().model_copy(update={"sites": forecast(default_spec(), atlas).sites})
    studio.store.save(run)
    studio.atlases.save(atlas)
    return run


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run and no table can be stored."""
    for store in (RunStore, MaskTableStore):
        monkeypatch.setattr(store, "save", Mock(side_effect=StorageError("The disk is full; free some space.")))


@pytest.fixture
def page(studio: Studio) -> Page:
    """The page of a server that has an atlas and no run."""
    studio.atlases.save(tiny_atlas(default_spec()))
    return Page(studio)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    pipeline = Pipeline()
    monkeypatch.setattr(liar.jobs.pipeline, "stream", pipeline.stream)
    yield pipeline
    pipeline.gate.set()


def applied(page: Page, visitor: Visitor, until: str) -> Iterator[None]:
    """Press the button and step until the status line contains ``until``; return the remaining steps."""
    steps = visitor.steps(page.apply.work.button, "click")
    for _ in steps:
        if until in visitor.sees(page.line):
            next(steps)  # one step more, so that the listeners to the states of this answer have run
            return steps
    raise AssertionError(f"the line never had {until!r} but {visitor.sees(page.line)!r}")


def is_idle(page: Page, visitor: Visitor) -> bool:
    return bool(visitor.prop(page.apply.work.button, "interactive")) and not visitor.prop(
        page.apply.work.stop, "interactive"
    )
