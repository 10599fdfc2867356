"""The page equals its approved screenshots. ``LIAR_GOLDEN=1`` renews them: check each before committing it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from liar.course.lesson import Lesson, lessons
from liar.course.site import page as page_of_course
from tests.browser.conftest import OUT, SCREENS, Visit, full, opened, settled, to_tab

GOLDEN = Path(__file__).resolve().parent / "golden"
COARSE = 4
"""Side in pixels of the squares that are compared, so that another hinting of the same letters does not count."""

VISIBLE = 24
"""Levels, of 255, by which a coarse pixel must change to count."""

TOLERATED = 0.02
"""Share of coarse pixels that may change: enough for some words, too little for a panel that moved."""

SETTLES = 15
"""Seconds in which the last part of a page must have taken its place; a busy machine draws late."""


STEPS = {"correlation": 3, "curves": 2}
"""Lessons, and the step that each is opened at: a picture with its answer, and an empty plot to draw a curve on."""

TABS = {
    "Layers": ("site", "#site-correlations .main-svg"),
    "Accuracy": ("accuracy", "#metrics .main-svg"),
    "Trade-off": ("trade-off", "#criteria-ratio .main-svg"),
    "Take away": ("take-away", "#takeaway-python .cm-line"),
}
"""The picture of each tab, and the selector of the element that is drawn last."""


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_nothing_moved(visit_still: Visit, width: int, theme: str) -> None:
    page = visit_still(width, 900 if width > 800 else 844)

    def is_as_before(scene: str, last: str) -> None:
        page.locator(last).last.scroll_into_view_if_needed()
        page.evaluate("document.fonts.ready.then(() => window.scrollTo(0, 0))")
        settled(page)
        compare(page, f"{scene}-{width}-{theme}")

    opened(page, f"/?__theme={theme}")
    is_as_before("simple", "#stories")
    full(page, "", site="layers.3.ffn", __theme=theme)
    for tab, drawn in TABS.items():
        to_tab(page, tab)
        is_as_before(*drawn)


@pytest.mark.parametrize(("width", "theme"), SCREENS)
@pytest.mark.parametrize("lesson", [lesson for lesson in lessons() if lesson.name in STEPS], ids=lambda each: each.name)
def test_no_step_of_a_lesson_moved(
    browser: Browser, tmp_path: Path, lesson: Lesson, width: int, theme: Literal["light", "dark"]
) -> None:
    (tmp_path / "lesson.html").write_text(page_of_course(lesson.file), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{(tmp_path / 'lesson.html').as_uri()}?step={STEPS[lesson.name]}")
    expect(page.locator("section:visible")).to_have_count(STEPS[lesson.name])
    compare(page, f"lesson-{lesson.name}-{width}-{theme}")
    context.close()


def compare(page: Page, name: str) -> None:
    """Take a picture of ``page`` and hold it against the approved one of this ``name``."""
    found, golden = OUT / f"{name}.png", GOLDEN / f"{name}.png"
    page.screenshot(path=found, full_page=True, animations="disabled", caret="hide")
    if "LIAR_GOLDEN" in os.environ:
        GOLDEN.mkdir(exist_ok=True)
        with Image.open(found) as picture:
            picture.convert("RGB").quantize(64).save(golden, optimize=True)
        return
    until = time.monotonic() + SETTLES
    while (changed := share_changed(found, golden)) > TOLERATED and time.monotonic() < until:
        page.wait_for_timeout(500)
        page.screenshot(path=found, full_page=True, animations="disabled", caret="hide")
    assert changed <= TOLERATED, f"{changed:.1%} of {found} is not as in {golden}; LIAR_GOLDEN=1 renews it"


def share_changed(found: Path, golden: Path) -> float:
    """Share of coarse pixels that differ; the area outside the smaller picture counts as changed."""
    a, b = coarse(found), coarse(golden)
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    most = max(a.shape[0], b.shape[0]) * max(a.shape[1], b.shape[1])
    alike = (np.abs(a[:height, :width] - b[:height, :width]).max(axis=2) <= VISIBLE).sum()
    return float(1 - alike / most)


def coarse(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
        return np.asarray(rgb.resize((rgb.width // COARSE, rgb.height // COARSE), Image.Resampling.BOX), dtype=np.int16)


def test_the_comparison_sees_a_panel_that_moved(tmp_path: Path) -> None:
    page = Image.new("RGB", (400, 400), "white")
    page.paste("navy", (40, 40, 200, 200))
    moved = Image.new("RGB", (400, 400), "white")
    moved.paste("navy", (80, 40, 240, 200))
    for name, picture in (("page", page), ("moved", moved)):
        picture.save(tmp_path / f"{name}.png")
    assert share_changed(tmp_path / "page.png", tmp_path / "page.png") == 0
    assert share_changed(tmp_path / "page.png", tmp_path / "moved.png") > TOLERATED
