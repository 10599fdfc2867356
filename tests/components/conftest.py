"""The services of a server without models, and fixtures that several files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from gradio.routes import App

import liar.jobs.pipeline
from components.rail.recipe import default_spec
from components.shared.studio import Studio
from liar.errors import StorageError
from liar.explore.forecast import forecast
from liar.results import RunResult
from liar.store import MaskTableStore, RunStore
from server.model_registry import ModelRegistry
from tests.components.applying import Pipeline
from tests.components.visitor import Page
from tests.fake_atlas import tiny_atlas
from tests.fakes import language_run
from tests.studio import studio

__all__ = ["studio"]


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
