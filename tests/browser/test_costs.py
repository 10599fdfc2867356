"""The panel of size and speed: measured, stopped, kept over a reload, and removed with the run."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FAST, apply, finished, fits_and_can_be_read, full, opened, to_tab

BUTTON = "#costs-measure"
STATUS = "#costs-measure-status"


@pytest.mark.demo
def test_size_and_speed_are_measured_stopped_and_found_again(page: Page) -> None:
    full(page, f"{FAST}&seed=23", tab="accuracy")
    apply(page)
    finished(page)
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
