"""The main job on the real demo models: prune, repair, measure, read; stop; meet a failure and lose nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OUT, Server, answers, finished, opened

pytestmark = pytest.mark.demo

# One choice differs from the defaults for each thing that would take long: less text, one pass, fewer test items.
FAST = "tokens=2048&schedule=one-shot&allocation=uniform&evaluate_limit=3"
LLAMA = f"/?model=demo/smollm2-135m&ratio=0.3&evaluate=perplexity&{FAST}"
BERT = f"/?model=demo/minilm-sentiment&targets=both&evaluate=sentiment&{FAST.replace('=3', '=200')}"


def start(page: Page) -> None:
    page.get_by_role("button", name="Prune and repair").click()
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()


def test_prune_repair_and_come_back_by_the_link(page: Page) -> None:
    opened(page, LLAMA)
    before = page.locator("#verdict h2").inner_text()
    page.locator("#prompts textarea").fill("The capital of France is")
    start(page)
    expect(page.locator("#status progress")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("of 30", timeout=60_000)
    finished(page, seconds=150)

    verdict = page.locator("#verdict h2")
    expect(verdict).to_contain_text("30 % of the neurons gone: perplexity")
    after = verdict.inner_text()
    assert after != before
    texts = answers(page)
    assert all(text.strip() for text in texts)
    assert len(set(texts)) > 1, "pruning changed no word"
    assert "ratio=0.3" in page.url
    assert "schedule=one-shot" in page.url

    # Plotly ties clip paths to the address it was drawn under; a changed address must not make the figures vanish.
    clips = page.evaluate("[...document.querySelectorAll('[clip-path]')].map(node => node.getAttribute('clip-path'))")
    assert clips
    assert not [clip for clip in clips if "http" in clip]

    opened(page, page.url)
    expect(verdict).to_have_text(after)
    assert page.locator("#prompts textarea").input_value() == "The capital of France is"


def test_a_classifier_shows_accuracy_and_label_probabilities(page: Page) -> None:
    opened(page, BERT)
    page.locator("#prompts textarea").fill("A warm and clever film.")
    start(page)
    finished(page, seconds=120)
    expect(page.locator("#verdict h2")).to_contain_text("sentiment accuracy")
    expect(page.locator("#heatmap")).to_contain_text("attention")
    expect(page.locator(".generation .variant").filter(has_text="%").first).to_be_visible()
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / "classifier.png", full_page=True)


def test_two_clicks_are_one_run(page: Page) -> None:
    opened(page, f"{BERT}&seed=4")
    page.get_by_role("button", name="Prune and repair").dblclick()
    finished(page, seconds=120)
    page.wait_for_timeout(2_000)  # a second run would begin now
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.get_by_role("button", name="Prune and repair")).to_be_enabled()


def test_stop_keeps_what_was_shown(page: Page) -> None:
    opened(page, f"{LLAMA}&seed=3")
    before = page.locator("#verdict h2").inner_text()
    start(page)
    expect(page.locator("#status")).to_contain_text(" of ", timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Prune and repair")).to_be_enabled()
    page.wait_for_timeout(2_000)  # a late event of the stopped run must not write over it
    expect(page.locator("#status")).to_contain_text("Stopped")
    assert page.locator("#verdict h2").inner_text() == before


def test_an_unknown_model_is_a_sentence_and_nothing_is_lost(page: Page) -> None:
    opened(page)
    before = page.locator("#verdict h2").inner_text()
    model = page.get_by_label("Model", exact=True)
    model.fill("/no/such/folder")
    model.press("Enter")
    page.get_by_role("button", name="Prune and repair").click()
    expect(page.locator("#status [role=alert]")).to_be_visible(timeout=40_000)
    expect(page.get_by_role("button", name="Prune and repair")).to_be_enabled()
    assert page.locator("#verdict h2").inner_text() == before


def test_a_prompt_that_is_too_long_is_a_sentence(page: Page) -> None:
    opened(page)
    page.locator("#prompts textarea").fill("x" * 100_000)
    page.get_by_role("button", name="Prune and repair").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("characters")


def test_the_log_holds_no_traceback(page: Page, server: Server) -> None:
    """Last in the file: whatever the tests above did is no bug of the page."""
    assert "Traceback" not in server.log.read_text()
