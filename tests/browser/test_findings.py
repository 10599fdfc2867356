"""The page of findings in the browser, and the tags of links on the page that Gradio serves."""

from __future__ import annotations

import re
import urllib.request
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import MINILM, SCREENS, Server, severe, too_wide


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_findings_can_be_read(
    browser: Browser, server: Server, width: int, theme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        base_url=server.url, viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto("/findings")
    page.evaluate("document.fonts.ready")
    assert page.evaluate("[...document.fonts].some((font) => font.status === 'loaded')")
    assert too_wide(page) == 0
    assert severe(page) == []
    expect(page.locator("main li")).to_have_count(10)
    assert problems == []
    page.get_by_role("link", name="Back to the page").click()
    expect(page.locator("#verdict h2")).to_be_visible()
    expect(page.get_by_role("link", name="Findings")).to_have_attribute("href", "findings")
    context.close()


def test_a_finding_opens_its_run(browser: Browser, server: Server) -> None:
    page = browser.new_page(base_url=server.url)
    page.goto("/findings")
    page.get_by_role("link", name=re.compile("^Open this run.*Half gone, nothing lost$")).click()
    expect(page.locator("#verdict h2")).to_contain_text("50")
    expect(page.locator("#verdict h2 .kind")).to_have_text("Measured")
    page.close()


def test_a_link_has_one_card(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/?{MINILM}") as answer:
        page = answer.read().decode()
    titles, pictures = (
        re.findall(rf'<meta property="og:{name}" content="([^"]*)">', page) for name in ("title", "image")
    )
    assert len(titles) == len(pictures) == page.count('"og:title"') == page.count('"og:image"') == 1
    assert "units gone" in titles[0]
    with urllib.request.urlopen(pictures[0].replace("&amp;", "&")) as answer:
        assert answer.headers["content-type"] == "image/png"
        assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
