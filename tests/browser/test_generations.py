"""Answers of the three models: those stored with the run, and new ones once the models are in memory; their size and speed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from liar.results import VARIANTS
from tests.browser.conftest import FAST, apply, dropdown, finished, fits_and_can_be_read, full, kind, opened, to_tab


def test_a_bad_prompt_is_one_sentence_and_the_colours_of_tokens_need_no_server(page: Page) -> None:
    full(page, tab="generations")
    expect(page.locator("#generations-prompt textarea")).to_have_value(re.compile("France"))  # the page has settled
    stored = page.locator("#generations-stored")
    answers = stored.inner_text()
    for prompt, words in (("x" * 100_000, "2,000 characters"), ("  ", "empty")):
        page.locator("#generations-prompt textarea").fill(prompt)
        page.get_by_role("button", name="Generate", exact=True).click()
        expect(page.locator("#generations-status [role=alert]")).to_contain_text(words)
        expect(stored).to_have_text(answers, use_inner_text=True)

    unlikely = stored.locator(".p4").first
    expect(unlikely).to_have_attribute("title", re.compile("probability .* under the dense model"))
    expect(unlikely).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(page.locator("#generations-legend")).to_be_hidden()
    page.context.set_offline(True)
    page.get_by_label("Colour tokens").check()
    expect(unlikely).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(page.locator("#generations-legend")).to_be_visible()


# Records headline, label, prompt and answers at every frame that the browser paints.
_WATCH = """() => {
  window.seen = [];
  const text = (selector) => document.querySelector(selector)?.innerText ?? '';
  const look = () => {
    const prompt = document.querySelector('#generations-prompt textarea')?.value ?? '';
    window.seen.push([text('#verdict h2'), text('#generations-prompt label'), prompt, text('#generations-examples')]);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_a_classifier_in_the_simple_layout_shows_its_own_answers_and_nothing_else(page: Page) -> None:
    opened(page)
    dropdown(page, "Model", "Writing: SmolLM2 135M Instruct")
    expect(page.locator("#generations-examples")).to_contain_text("What is")
    page.evaluate(_WATCH)
    dropdown(page, "Model", "Sentiment: MiniLM, movie sentences")
    expect(page.locator("#generations-live")).to_contain_text("positive")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("% correct")
    expect(page).to_have_url(re.compile("targets=both"))
    for headline, label, prompt, stored in page.evaluate("window.seen"):
        labels = "correct" in headline
        assert labels == label.startswith("Sentence")
        assert labels != ("What is" in prompt)
        assert labels != ("What is" in stored)


@pytest.mark.demo
def test_models_in_memory_answer_and_are_measured(page: Page) -> None:
    """Size and speed are measured, stopped, found again after a reload, and removed with the run."""
    full(page, f"{FAST}&seed=23", tab="generations")
    apply(page)
    finished(page)
    expect(kind(page)).to_have_text("Measured")
    expect(page.locator("#generations-stored .variant")).to_have_count(9)
    prompt = page.locator("#generations-prompt textarea")
    first = prompt.input_value()
    page.locator("#generations-examples button").nth(1).click()
    expect(prompt).not_to_have_value(first)
    prompt.fill("Not a <b>good</b> film, but never dull.")
    page.get_by_role("button", name="Ask", exact=True).click()
    live = page.locator("#generations-live")
    expect(live.locator(".columns .variant")).to_have_count(len(VARIANTS), timeout=60_000)
    expect(live.locator("h5").first).to_have_text("Not a <b>good</b> film, but never dull.")
    expect(live.locator(".columns")).to_contain_text("%")
    expect(page.locator("#generations-status")).to_contain_text("Done.")

    to_tab(page, "Accuracy")
    status, table = page.locator("#costs-measure-status"), page.locator("#costs table")
    page.locator("#costs-measure").click()
    expect(status.locator("progress")).to_be_visible()
    expect(status).to_contain_text(re.compile(r"Both models work in turns, \d+ of 16\. .* left in all\."))
    page.locator("#costs-measure-stop").click()
    expect(status).to_contain_text("Stopped.")
    expect(table).to_have_count(0)

    page.locator("#costs-measure").click()
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
