"""What a visitor meets: a finished run, legible on any screen, whatever the link says."""

from __future__ import annotations

import os
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OUT, ROOT, Server, answers, opened

SCREENS = [(width, theme) for width in (1280, 390) for theme in ("light", "dark")]


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen[0]}-{screen[1]}")
def screen(request: pytest.FixtureRequest, browser: Browser, server: Server) -> object:
    width, theme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 1000 if width > 800 else 844}, base_url=server.url
    )
    page = opened(context.new_page(), f"/?__theme={theme}")
    yield page, f"{width}-{theme}"
    context.close()


def test_a_finished_run_is_there_at_once(page: Page, server: Server) -> None:
    start = time.perf_counter()
    opened(page)
    paint = time.perf_counter() - start
    assert paint < 10, f"{paint:.1f} s to the first heatmap"
    assert server.start_seconds + paint < 25, f"{server.start_seconds:.1f} s to start and {paint:.1f} s to paint"
    expect(page.locator("#verdict h2")).to_contain_text("→")
    expect(page.locator("#metrics .barlayer .point")).to_have_count(3)
    assert all(text.strip() for text in answers(page)), "a model has nothing to say"
    expect(page.get_by_role("button", name="Prune and repair")).to_be_enabled()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


@pytest.mark.skipif("LIAR_SCREENSHOT" not in os.environ, reason="set LIAR_SCREENSHOT to renew the README's picture")
def test_the_picture_of_the_readme_is_renewed(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 1240})
    opened(page, "/?__theme=light")
    page.wait_for_timeout(500)
    page.screenshot(path=ROOT / "docs" / "screenshot.png")


def test_nothing_is_fetched_from_elsewhere(page: Page, server: Server) -> None:
    """No font, script or picture of another host: the page works offline and tells nobody."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page)
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def test_every_screen_is_accessible_and_fits(screen: tuple[Page, str]) -> None:
    page, name = screen
    OUT.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)  # transitions
    page.screenshot(path=OUT / f"{name}.png", full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{overflow} pixels too wide"
    report = Axe().run(page, options={"resultTypes": ["violations"]})
    severe = [
        (item["id"], [node["target"] for node in item["nodes"]][:5])
        for item in report.response["violations"]
        if item["impact"] in ("serious", "critical")
    ]
    assert not severe, severe


@pytest.mark.parametrize(
    "link",
    ["/?ratio=99", "/?nonsense=1", "/?criterion=<script>alert(1)</script>", "/?model=no/such&ratio=x"],
)
def test_nonsense_in_the_address_is_a_sentence_on_a_valid_page(page: Page, link: str) -> None:
    page.on("dialog", lambda dialog: pytest.fail("a script of the address ran"))
    opened(page, link)
    expect(page.locator("#status [role=alert]")).to_be_visible()
    expect(page.get_by_role("button", name="Prune and repair")).to_be_enabled()


def test_a_link_fills_the_recipe(page: Page) -> None:
    opened(page, "/?ratio=0.3&targets=both&criterion=wanda&seed=5")
    expect(page.locator("#ratio input[type=number]")).to_have_value("0.3")
    expect(page.get_by_label("Both", exact=True)).to_be_checked()
    expect(page.get_by_label("Criterion")).to_have_value("wanda")
    expect(page.locator("#status")).to_contain_text("Prune and repair")


def test_the_keyboard_reaches_the_button(page: Page) -> None:
    opened(page)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#run') !== null"):
            return
    pytest.fail("40 presses of Tab do not reach the primary button")
