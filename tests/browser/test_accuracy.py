"""The accuracy panel: bars, their table, and the texts whose answers changed."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from tests.browser.conftest import MINILM, drawn, full

FEW = 12


def test_bars_table_and_changes_are_of_the_run(page: Page) -> None:
    full(page, MINILM, tab="accuracy")
    expect(page.locator("#metrics .barlayer .point")).to_have_count(3)
    rows = page.locator("#measures tbody tr")
    expect(rows).to_have_count(3)
    shown = [rows.nth(at).get_by_role("cell").first.inner_text() for at in range(3)]
    bars = [value for trace in json.loads(drawn(page, "#metrics"))["traces"] for value in trace["x"]]
    assert shown == [f"{100 * value:.1f} %" for value in bars]
    expect(rows.first).to_contain_text("1,200 of 1,501 texts of at most 256 tokens")
    expect(rows.last).to_contain_text("reconstructed")
    # Every group of changes opens, and marks what is wrong.
    expect(page.locator("#changes h5")).to_have_count(3)
    broken = page.locator("#changes details").first
    broken.locator("summary").press("Enter")
    expect(broken.locator("li")).to_have_count(FEW)
    first = broken.locator("li").first
    expect(first.locator(".dense")).to_contain_text("✓")
    expect(first.locator(".pruned .wrong")).to_contain_text("✗")
