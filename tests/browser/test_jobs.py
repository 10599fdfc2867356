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
    finished,
    full,
    kind,
    opened,
    redrawn,
    slide,
    to_tab,
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
    before, verdict = drawn(page, "#heatmap"), page.locator("#verdict h2")
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
    expect(verdict).to_have_text(sentence)
    expect(kind(page)).to_have_text("Measured")
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / "applied.png", full_page=True)


def test_predicted_and_measured_stand_side_by_side_after_the_run(page: Page) -> None:
    full(page, CHARTED, site="layers.2.ffn")
    errors = page.locator("#site-words table")
    expect(errors.get_by_role("columnheader")).to_have_text(["Reconstruction", "Predicted"])
    apply(page)
    finished(page)
    expect(errors.get_by_role("columnheader")).to_have_text(["Reconstruction", "Predicted", "Measured"])


def test_two_clicks_are_one_run(page: Page) -> None:
    full(page, f"{FAST}&seed=42")
    page.get_by_role("button", name="Apply", exact=True).dblclick()
    finished(page)
    page.wait_for_timeout(2_000)  # a second run would begin now
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator("#stop")).to_be_disabled()


def test_stop_keeps_what_was_shown(page: Page, server: Server) -> None:
    link = f"{SLOW}&seed=43"
    full(page, link)
    verdict = page.locator("#verdict h2").inner_text()
    apply(page)
    under_way(page)
    start = time.monotonic()
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped.")
    assert time.monotonic() - start < 10
    expect(page.locator("#apply")).to_be_enabled()
    page.wait_for_timeout(2_000)  # a late event of the stopped run must not write over it
    expect(page.locator("#status")).to_contain_text("Stopped.")
    expect(page.locator("#verdict h2")).to_have_text(verdict)
    assert not stored(server, link).exists()


def test_stop_while_the_model_is_loading(page: Page) -> None:
    full(page, f"{FAST}&seed=44")
    apply(page)
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped.")
    expect(page.locator("#apply")).to_be_enabled()


def test_a_reload_finds_its_run_at_work(page: Page) -> None:
    full(page, f"{SLOW}&seed=45")
    apply(page)
    under_way(page)
    page.reload()
    expect(page.locator("#stop")).to_be_enabled()
    expect(page.locator("#status progress")).to_be_visible()
    finished(page)
    expect(kind(page)).to_have_text("Measured")


def test_a_run_goes_on_when_its_page_is_closed(visit: Visit, server: Server) -> None:
    link = f"{SLOW}&seed=46"
    page = full(visit(), link)
    apply(page)
    under_way(page)
    page.close()
    deadline = time.monotonic() + 90
    while not stored(server, link).exists():
        assert time.monotonic() < deadline, "the run ended with its page"
        time.sleep(0.5)
    again = full(visit(), link)
    expect(kind(again)).to_have_text("Measured")


def test_two_visitors_take_turns_and_see_only_their_own(visit: Visit, server: Server) -> None:
    first, second = full(visit(), f"{SLOW}&seed=47"), full(visit(), f"{FAST}&seed=48&ratio=0.3")
    apply(first)
    under_way(first)
    apply(second)
    expect(second.locator("#status")).to_contain_text("one job is before yours")
    finished(first)
    finished(second)
    expect(first).to_have_url(re.compile("seed=47"))
    expect(second).to_have_url(re.compile("seed=48"))
    expect(first.locator("#ratio input[type=number]")).to_have_value("0.5")
    expect(second.locator("#ratio input[type=number]")).to_have_value("0.3")
    assert first.locator("#verdict h2").inner_text() != second.locator("#verdict h2").inner_text()
    used, most = psutil.Process(server.pid).memory_info().rss, psutil.virtual_memory().total // 4 + 2048 * MEGABYTE
    assert used < most, f"{used / MEGABYTE:,.0f} MB in memory"


def test_a_measured_recipe_runs_again_only_after_a_second_click(page: Page) -> None:
    full(page, MINILM)
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator("#status")).to_contain_text("already measured")
    expect(page.locator("#stop")).to_be_disabled()
    expect(kind(page)).to_have_text("Measured")
    expect(page.get_by_role("button", name="Run again", exact=True)).to_be_visible()
    slide(page, "#ratio", 0.3)
    expect(page.get_by_role("button", name="Run again", exact=True)).to_be_hidden()


def test_an_unknown_model_is_one_sentence_and_the_page_still_works(page: Page) -> None:
    full(page)
    model = page.get_by_label("Model", exact=True)
    model.fill("/no/such/folder")
    model.press("Enter")
    expect(page.locator("#status")).to_contain_text("Nothing is known of this model")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator("#status [role=alert]")).to_contain_text("/no/such/folder", timeout=60_000)
    expect(page.locator("#apply")).to_be_enabled()
    expect(page.locator("#verdict h2")).to_contain_text("Nothing is known of this recipe")


def test_a_run_deleted_in_the_meantime_is_one_sentence(visit: Visit, server: Server) -> None:
    link = f"{FAST}&seed=49"
    page = full(visit(), link)
    apply(page)
    finished(page)
    other, key = full(visit()), PruneSpec.from_query(link).key
    # Of the answers that come now, the only one with this key draws the table.
    with other.expect_response(lambda answer: "/run/predict?" in answer.url and key in answer.text()):
        to_tab(other, "Runs")
    row = other.locator(f"#runs-table button[data-key='{key}']")
    expect(row).to_be_visible()
    stored(server, link).unlink()
    row.click()
    expect(other.locator("#status [role=alert]")).to_contain_text("not kept here any more")
    expect(other.locator("#verdict h2")).to_be_visible()
