"""Answers of the three models: those stored with the run, and new ones once the models are in memory."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import dropdown, full, opened


def test_a_bad_prompt_is_one_sentence_and_the_colours_of_tokens_need_no_server(page: Page) -> None:
    full(page, tab="generations")
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
    window.seen.push([text('#verdict h2'), text('#generations-prompt label'), prompt, text('#generations-stored')]);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_a_classifier_in_the_simple_layout_shows_its_own_answers_and_nothing_else(page: Page) -> None:
    opened(page)
    dropdown(page, "Model", "Writing: SmolLM2 135M Instruct")
    expect(page.locator("#generations-stored")).to_contain_text("France")
    page.evaluate(_WATCH)
    dropdown(page, "Model", "Sentiment: MiniLM, movie sentences")
    expect(page.locator("#generations-stored")).to_contain_text("positive")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    expect(page.locator("#verdict h2")).to_contain_text("sentiment accuracy")
    expect(page).to_have_url(re.compile("targets=both"))
    for headline, label, prompt, stored in page.evaluate("window.seen"):
        labels = "accuracy" in headline
        assert labels == label.startswith("Sentence")
        assert labels != ("France" in prompt)
        assert labels != ("France" in stored)
