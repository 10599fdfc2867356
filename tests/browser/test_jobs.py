"""Real runs on the page: finished, stopped, reloaded, closed, clicked twice, and together with another visitor."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from liar.spec import PruneSpec
from tests.browser.conftest import (
    FAST,
    MINILM,
    OUT,
    SLOW,
    Server,
    Visit,
    apply,
    drawn,
    events_of,
    finished,
    full,
    kind,
    opened,
    redrawn,
)

pytestmark = pytest.mark.demo

LLAMA = (
    "model=demo/smollm2-135m&targets=ffn&ratio=0.3&evaluate=perplexity&evaluate_limit=3&tokens=2048"
    "&schedule=one-shot&allocation=uniform&criterion=fluctuation"
)
CHARTED = FAST.replace("tokens=2048&", "")
"""FAST on the text of the shipped atlas, so that a forecast precedes the measurement."""

MEGABYTE = 2**20


def stored(server: Server, link: str) -> Path:
    """File of the run of a link."""
    return server.runs / f"{PruneSpec.from_query(link).key}.json"


def under_way(page: Page) -> None:
    """Wait until the run has begun and its status names the stage."""
    expect(page.locator("#status progress")).to_be_visible()
    expect(page.locator("#status")).to_contain_text(re.compile("Reading|Pruned and|Measuring"), timeout=90_000)


def test_a_language_model_is_pruned_measured_and_found_again(page: Page, server: Server) -> None:
    full(page, LLAMA)
    before, verdict = drawn(page, "#heatmap"), page.locator("#verdict")
    apply(page)
    under_way(page)
    redrawn(page, "#heatmap", before, seconds=120)  # the run's own errors replace the forecast before the metrics
    finished(page, seconds=240)
    expect(kind(page)).to_have_text("Measured")
    expect(verdict).to_contain_text("30 % of the neurons gone: perplexity")
    expect(verdict).to_contain_text(
        re.compile(r"times as fast at reading|not measurably faster|too noisy to measure how fast")
    )
    sentence = verdict.inner_text()
    assert stored(server, LLAMA).exists()
    link = page.url
    opened(page, link)
    expect(kind(page)).to_have_text("Measured")
    assert verdict.inner_text() == sentence
    page.screenshot(path=OUT / "applied.png", full_page=True)


def test_two_clicks_are_one_run_with_predicted_and_measured_side_by_side(page: Page) -> None:
    full(page, CHARTED, site="layers.2.ffn")
    errors = page.locator("#site-words table")
    expect(errors.get_by_role("columnheader")).to_have_text(["Reconstruction", "Predicted"])
    clicks = events_of(page, "apply")
    page.get_by_role("button", name="Measure it", exact=True).dblclick()
    expect(page.locator("#apply-stop")).to_be_enabled()
    begun = len(clicks)  # a second one that was sent at once has joined the run of the first
    finished(page)
    assert len(clicks) == begun, "the second click waited for the end of the run"
    expect(page.locator("#apply-stop")).to_be_disabled()
    expect(errors.get_by_role("columnheader")).to_have_text(["Reconstruction", "Predicted", "Measured"])


def test_stop_keeps_what_was_shown_and_the_next_visitor_sees_only_the_own_run(visit: Visit, server: Server) -> None:
    link = f"{SLOW}&seed=43"
    first, second = full(visit(), link), full(visit(), f"{FAST}&seed=48&ratio=0.3")
    verdict = first.locator("#verdict h2").inner_text()
    apply(first)
    under_way(first)
    apply(second)
    expect(second.locator("#status")).to_contain_text("one job is before yours")
    start = time.monotonic()
    first.locator("#apply-stop").click()
    expect(first.locator("#status")).to_contain_text("Stopped.")
    assert time.monotonic() - start < 10
    expect(first.locator("#apply")).to_be_enabled()
    finished(second)  # it began after the stopped run had ended, of which no late event may write over the page
    expect(first.locator("#status")).to_contain_text("Stopped.")
    expect(first.locator("#verdict h2")).to_have_text(verdict)
    assert not stored(server, link).exists()
    for page, seed, ratio in ((first, 43, "0.5"), (second, 48, "0.3")):
        expect(page).to_have_url(re.compile(f"seed={seed}"))
        expect(page.locator("#ratio input[type=number]")).to_have_value(ratio)
    assert second.locator("#verdict h2").inner_text() != verdict
    used, most = psutil.Process(server.pid).memory_info().rss, psutil.virtual_memory().total // 4 + 2048 * MEGABYTE
    assert used < most, f"{used / MEGABYTE:,.0f} MB in memory"

    apply(first)
    first.locator("#apply-stop").click()  # before the first step of the run has ended
    expect(first.locator("#status")).to_contain_text("Stopped.")
    expect(first.locator("#apply")).to_be_enabled()


def test_a_run_goes_on_when_its_page_is_closed_and_is_found_at_work(visit: Visit, server: Server) -> None:
    link = f"{SLOW}&seed=46"
    page = full(visit(), link)
    apply(page)
    under_way(page)
    page.close()
    again = full(visit(), link)  # as a reload does it
    expect(again.locator("#apply-stop")).to_be_enabled()
    expect(again.locator("#status progress")).to_be_visible()
    finished(again)
    expect(kind(again)).to_have_text("Measured")
    assert stored(server, link).exists()


def test_a_model_that_cannot_be_found_is_a_sentence(page: Page) -> None:
    full(page, MINILM)
    model = page.get_by_label("Model", exact=True)
    model.fill("/no/such/folder")
    model.press("Enter")
    expect(page.locator("#status")).to_contain_text("Nothing is known of this model")
    page.get_by_role("button", name="Measure it", exact=True).click()
    expect(page.locator("#status [role=alert]")).to_contain_text("/no/such/folder", timeout=60_000)
    expect(page.locator("#apply")).to_be_enabled()
    expect(page.locator("#verdict h2")).to_contain_text("Nothing is known of this recipe")
