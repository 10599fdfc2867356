"""What the models of a finished run are asked for: answers, and size and speed, which are kept until another run is shown."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from liar.results import VARIANTS
from tests.browser.conftest import FAST, apply, finished, fits_and_can_be_read, full, kind, opened, to_tab

BUTTON = "#costs-measure"
STATUS = "#costs-measure-status"


@pytest.mark.demo
def test_models_in_memory_answer_and_are_measured(page: Page) -> None:
    """Size and speed are measured, stopped, found again after a reload, and removed with the run."""
    full(page, f"{FAST}&seed=23", tab="generations")
    apply(page)
    finished(page)
    expect(kind(page)).to_have_text("Measured")
    expect(page.locator("#generations-stored .variant")).to_have_count(9)
    page.get_by_role("button", name="The plot makes no sense and the jokes fall flat.").click()
    prompt = page.locator("#generations-prompt textarea")
    expect(prompt).to_have_value(re.compile("fall flat"))
    prompt.fill("Not a <b>good</b> film, but never dull.")
    page.get_by_role("button", name="Ask", exact=True).click()
    live = page.locator("#generations-live")
    expect(live.locator(".columns .variant")).to_have_count(len(VARIANTS), timeout=60_000)
    expect(live.locator("h5").first).to_have_text("Not a <b>good</b> film, but never dull.")
    expect(live.locator(".columns")).to_contain_text("%")
    expect(page.locator("#generations-status")).to_contain_text("Done.")

    to_tab(page, "Accuracy")
    status, table = page.locator(STATUS), page.locator("#costs table")
    page.locator(BUTTON).click()
    expect(status.locator("progress")).to_be_visible()
    expect(status).to_contain_text(re.compile(r"Both models work in turns, \d+ of 16\. .* left in all\."))
    page.locator("#costs-measure-stop").click()
    expect(status).to_contain_text("Stopped.")
    expect(table).to_have_count(0)

    page.locator(BUTTON).click()
    expect(status).to_contain_text(re.compile(r"turns, \d+ of 16"))
    opened(page, page.url)
    expect(status).to_contain_text(re.compile(r"turns, \d+ of 16"))
    expect(status).to_contain_text("Done.", timeout=120_000)
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text(re.compile(r"parameters\s*22\.7\sM\s*17"))
    expect(rows.last).to_contain_text(re.compile(r"[\d.]+\sx\s\([\d.]+\sto\s[\d.]+\)"))
    expect(page.locator("#costs li").first).to_contain_text("Fewer parameters")
    fits_and_can_be_read(page)

    to_tab(page, "Runs")
    page.locator("#runs-table tr").filter(has_text="demo/minilm-topic").get_by_role("button").first.click()
    to_tab(page, "Accuracy")
    expect(page.locator("#measures")).to_contain_text("topic accuracy")
    expect(table).to_have_count(0)
