"""Calibrate: a recipe without stored curves offers to draw them, and shows its forecast once they are there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from components.rail.recipe import default_spec
from components.shared.studio import Studio
from liar.errors import CalibrationError
from liar.events import Event, Progress
from liar.jobs import draw_atlas
from liar.spec import PruneSpec
from tests.components.visitor import opened
from tests.fake_atlas import tiny_atlas


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> list[PruneSpec]:
    """Replace the computation of an atlas by a stand-in, which fails with one token and takes long with two; return the
    list of the specs it is called with."""
    asked: list[PruneSpec] = []

    def steps(loaded: Any, spec: PruneSpec) -> Iterator[Event]:
        asked.append(spec)
        if spec.tokens == 1:
            raise CalibrationError("One token is too little; give more.")
        for _ in range(500 if spec.tokens == 2 else 15):  # a page on a busy machine looks at least once
            yield Progress("calibrate", 1, 2, "Drawing the curves of layers.0.ffn")
            time.sleep(0.02)
        return tiny_atlas(spec)

    monkeypatch.setattr(draw_atlas, "atlas_steps", steps)
    return asked


def test_without_an_atlas_there_is_a_button_and_a_sentence(
    studio: Studio, models: list[str], drawing: list[PruneSpec]
) -> None:
    page, visitor = opened(studio)
    assert visitor.prop(page.explorer.work.row, "visible") is True
    assert "“Calibrate” reads it once" in visitor.sees(page.line)
    assert "Nothing is known of this recipe yet" in visitor.sees(page.verdict.text)
    visitor.sets(page.recipe.criterion, "wanda")
    assert models == []

    lines = []
    for _ in visitor.steps(page.explorer.work.button, "click"):
        lines.append(visitor.sees(page.line))
        visitor.holds(page.recipe.ratio, 0.25)  # changed while the atlas is computed
    assert any("Calibrating demo/smollm2-135m" in line or "layers.0.ffn" in line for line in lines)
    assert len(drawing) == len(models) == 1
    assert visitor.prop(page.explorer.work.row, "visible") is False
    assert visitor.prop(page.explorer.work.button, "interactive") is True
    assert visitor.sees(page.line) == ""
    assert "A quarter of the neurons" in visitor.sees(page.verdict.text), "the recipe as it stands now"
    assert studio.atlases.find(default_spec()) is not None


def test_a_failed_calibration_gives_the_reason_and_resets_the_button(studio: Studio, drawing: list[PruneSpec]) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.tokens, 1, "blur")
    visitor.does(page.explorer.work.button, "click")
    assert "One token is too little; give more." in visitor.sees(page.line)
    assert visitor.prop(page.explorer.work.button, "interactive") is True
    assert studio.atlases.find(PruneSpec(tokens=1)) is None


def test_a_calibration_can_be_stopped(studio: Studio, drawing: list[PruneSpec]) -> None:
    page, visitor = opened(studio)
    visitor.sets(page.recipe.tokens, 2, "blur")
    work = page.explorer.work
    for _ in visitor.steps(work.button, "click"):
        if "layers.0.ffn" in visitor.sees(page.line):
            assert visitor.prop(work.stop, "interactive") is True
            visitor.does(work.stop, "click")
    assert "The calibration was stopped." in visitor.sees(page.line)
    assert visitor.prop(work.button, "interactive") is True
    assert visitor.prop(work.stop, "interactive") is False
    assert visitor.prop(work.row, "visible") is True
    assert studio.atlases.find(PruneSpec(tokens=2)) is None
