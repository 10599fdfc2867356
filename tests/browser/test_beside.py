"""A lesson beside the page: what it speaks of is lit, and its task follows the real controls."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from components.simple_or_full import selector
from liar.course.lesson import Lesson, lessons
from tests.browser.conftest import Visit, fits_and_can_be_read, unfolded
from tests.course_lessons import named

pytestmark = pytest.mark.demo


def beside(page: Page, lesson: Lesson) -> FrameLocator:
    """Open a lesson, and from there the page with the lesson beside it."""
    page.goto(f"/course/{lesson.file}")
    page.get_by_role("link", name="Read it beside the page").click()
    frame = page.frame_locator("#beside iframe")
    expect(frame.get_by_role("heading", level=1)).to_contain_text(lesson.title)
    expect(page.locator("#verdict h2")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-layout", lesson.view.layout)
    return frame


def until_lit(page: Page, part: str, *others: str) -> None:
    """Wait until ``part`` has the outline of what a lesson speaks of, and ``others`` have none."""
    expect(element(page, part)).to_have_css("outline-style", "solid")
    for other in others:
        expect(element(page, other)).not_to_have_css("outline-style", "solid")


def element(page: Page, part: str) -> Locator:
    """The element of a part that the layout shows; a part of the page may have one in each layout."""
    found = page.locator(selector(part))
    return found.locator("visible=true").first if "," in selector(part) else found


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)
def test_every_part_that_a_lesson_names_is_on_the_page_and_lights_up(visit: Visit, lesson: Lesson) -> None:
    page = visit(1500)
    frame = beside(page, lesson)
    parts = frame.locator(".part")
    names = parts.evaluate_all("all => all.map((part) => part.dataset.part)")
    assert names
    for place, name in enumerate(names):
        parts.nth(place).dispatch_event("mouseenter")
        expect(unfolded(element(page, name))).to_be_visible()
        until_lit(page, name, *{*names} - {name})


def test_what_the_step_speaks_of_is_lit_and_a_click_scrolls_to_it(visit: Visit) -> None:
    page = visit()
    frame = beside(page, named("mean"))
    until_lit(page, "reconstruction")
    until_lit(page, "site", "ratio")
    expect(page.locator("#site")).not_to_be_in_viewport()
    frame.get_by_role("button", name="feed-forward layer").press("Enter")
    expect(page.locator("#site")).to_be_in_viewport()
    until_lit(page, "site", "reconstruction")
    page.get_by_text("Simple", exact=True).click()
    expect(page.locator("body")).to_have_attribute("data-layout", "simple")
    frame.get_by_role("button", name="repair").click()
    expect(page.locator("#beside [role=status]")).to_contain_text("choose Full")


def test_the_task_follows_the_real_controls(visit: Visit) -> None:
    page, lesson = visit(), named("mean")
    frame = beside(page, lesson)
    frame.get_by_label("BERT").check()
    frame.get_by_role("button", name="That is my bet").click()
    expect(frame.locator("#ratio-words")).to_have_text(re.compile("50"))
    ratio = unfolded(page.locator("#ratio input[type=number]"))
    ratio.fill("0.6")
    ratio.press("Tab")
    expect(frame.locator("#ratio-words")).to_have_text(re.compile("60"))
    expect(frame.locator("#solved")).to_be_hidden()
    ratio.fill("0.5")
    ratio.press("Tab")
    page.locator("#allocation input").click()
    page.get_by_role("option", name="error-curve").click()
    expect(frame.locator("#task-form #allocation")).to_have_value("error-curve")
    expect(frame.locator("#solved")).to_be_visible()
    page.locator("#criterion input").click()
    page.get_by_role("option", name="magnitude", exact=True).click()
    expect(frame.locator("#task-page")).to_contain_text("another recipe")
    frame.get_by_role("button", name="Start this lesson over").click()
    expect(frame.locator("#reveal")).to_be_hidden()
    frame.get_by_role("button", name="repair").focus()  # a button only beside the page
    until_lit(page, "reconstruction")


def test_a_lesson_is_closed_or_followed_by_the_next(visit: Visit) -> None:
    page = visit()
    frame = beside(page, named("units"))
    frame.get_by_label("Your bet as a number").fill("80")
    frame.get_by_role("button", name="That is my bet").click()
    frame.get_by_role("link", name="Next lesson").click()
    expect(page.frame_locator("#beside iframe").get_by_role("heading", level=1)).to_contain_text("2.")
    expect(page).to_have_url(re.compile("criterion=magnitude.*beside=weights"))
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#beside")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("beside"))


def test_an_unknown_lesson_is_a_sentence(visit: Visit) -> None:
    page = visit()
    page.goto("/?beside=latin")
    expect(page.get_by_text("There is no lesson 'latin'")).to_be_visible()
    expect(page.locator("#beside")).to_have_count(0)


def test_it_fits_and_can_be_read_by_all(visit: Visit) -> None:
    page = visit()
    beside(page, named("repair"))
    until_lit(page, "reconstruction")
    fits_and_can_be_read(page)


@pytest.mark.parametrize("name", ["01-units.html", "bets.html"])
def test_the_course_that_the_page_serves_has_its_typeface(visit: Visit, name: str) -> None:
    page, problems = visit(), list[str]()
    page.on("console", lambda message: problems.append(message.text))
    page.goto(f"/course/{name}")
    page.evaluate("document.fonts.ready")
    assert page.evaluate("[...document.fonts].some((font) => font.status === 'loaded')")
    assert problems == []
