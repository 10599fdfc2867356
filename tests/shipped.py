"""Runs and atlases that come with the package."""

from __future__ import annotations

from pathlib import Path

from liar.explore.atlas import Atlas
from liar.explore.atlas_store import AtlasStore
from liar.results import RunResult
from liar.store import RunStore

NO_FOLDER = Path("no folder of one's own")


def shipped_run(model: str) -> RunResult:
    run = RunStore(NO_FOLDER).shipped_of(model)
    assert run is not None, model
    return run


def shipped_pair(model: str) -> tuple[RunResult, Atlas]:
    """A run, and the atlas of its calibration text."""
    run = shipped_run(model)
    atlas = AtlasStore(NO_FOLDER).find(run.spec)
    assert atlas is not None, model
    return run, atlas
