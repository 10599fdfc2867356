"""The first view: few words that everybody knows, one picture that follows the slider, bars in sight on a phone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DATA, Visit, kind, opened, slide

# A text counts if it is visible, in the window, on top, and not inside closed details, as in the counts of the first view that
# were published for other pages.
_SEEN = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const text = node.textContent.trim(), parent = node.parentElement;
    if (!text || !parent || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(parent.tagName)) continue;
    if (parent.closest('details:not([open])') && !parent.closest('summary')) continue;
    if (!parent.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const isSeen = [...range.getClientRects()].some((box) => {
      const { left, top, right, bottom, width, height } = box;
      if (width <= 1 || height <= 1 || top < 0 || left < 0 || bottom > innerHeight || right > innerWidth) return false;
      const above = document.elementFromPoint(left + width / 2, top + height / 2);
      return above && (parent.contains(above) || (above.contains(parent) && getComputedStyle(parent).pointerEvents === 'none'));
    });
    if (isSeen) found.push(text);
  }
  return found;
}"""

_SCROLLS = """() => [...document.querySelectorAll('main *')].filter((part) =>
  part.checkVisibility() && part.tagName !== 'TEXTAREA' && part.scrollHeight > part.clientHeight + 2 &&
  ['auto', 'scroll'].includes(getComputedStyle(part).overflowY)).map((part) => part.outerHTML.slice(0, 200))"""

EXPLAINED = {"head", "neuron", "layer", "accuracy", "perplexity", "model"}
"""Terms that may stand in the first view, since each has its question mark there."""


def seen(page: Page) -> list[str]:
    return [str(text) for text in page.evaluate(_SEEN)]


@pytest.mark.parametrize(("width", "height", "words", "numbers"), [(1280, 800, 150, 25), (390, 844, 80, 12)])
def test_the_first_view_has_few_words_that_everybody_knows(
    visit: Visit, width: int, height: int, words: int, numbers: int
) -> None:
    page = opened(visit(width, height))
    texts = seen(page)
    assert len(" ".join(texts).split()) <= words, texts
    assert sum(len(re.findall(r"\d[\d.,]*", text)) for text in texts) <= numbers, texts
    examples = page.locator("#generations-examples button").all_inner_texts()
    plain = set((DATA / "plain_words.txt").read_text().split())
    said = re.findall(r"[a-z]+", " ".join(text for text in texts if text not in examples).lower())
    unknown = {word for word in said if word not in plain and word.rstrip("s") not in plain | EXPLAINED}
    assert unknown == set()
    asked = {re.sub("s$", "", term.lower()) for term in page.locator(".word summary").all_inner_texts()}
    assert {word.rstrip("s") for word in said} & EXPLAINED <= asked | {"model"}
    expect(page.get_by_label("Which model?")).to_have_count(1)


def test_the_picture_and_the_bars_follow_the_slider(page: Page) -> None:
    opened(page)
    picture, bars = page.locator("#model-picture"), page.locator("#before-after .simple")
    before = [picture.inner_html(), bars.inner_html()]
    slide(page, "#ratio", 0.65)
    expect(kind(page)).to_have_text("Interpolated")
    assert picture.inner_html() != before[0]
    assert bars.locator("tr.between").count() == 2
    slide(page, "#ratio", 0.93)
    expect(kind(page)).to_have_text("Predicted")
    expect(bars.locator("tr.unknown")).to_have_count(2)
    expect(page.locator("#apply")).to_be_visible()
    expect(page.locator("#before-after .note")).to_contain_text("Measuring takes")
    slide(page, "#ratio", 0.7)
    expect(kind(page)).to_have_text("Measured")
    expect(page.locator("#apply")).to_be_hidden()


def test_the_picture_has_two_states_words_and_leads_to_a_site(page: Page) -> None:
    opened(page)
    figure, site = page.locator("figure.model"), page.locator('figure.model [data-site="layers.2.ffn"]')
    colour = site.locator(".unit").evaluate("(unit) => getComputedStyle(unit).fill")
    page.locator("#model-state").get_by_text("Cut").click()
    expect(figure).to_have_class(re.compile("cut"))
    expect(site.locator(".unit")).not_to_have_css("fill", colour)
    expect(page).to_have_url(re.compile("show=none"))
    site.hover()
    expect(page.locator("#model-pointed")).to_contain_text(
        re.compile("Layer 2: .* neurons stay; error .* cut, .* repaired")
    )
    site.click()
    expect(page.locator("#site-words")).to_contain_text("Layer 2 FFN")
    expect(page).to_have_url(re.compile("site=layers.2.ffn"))


def test_a_writer_and_stories_open_measured_runs(page: Page) -> None:
    opened(page)
    page.get_by_role("link", name="Write an answer").click()
    expect(page.locator("#verdict h2")).to_contain_text("30 % of the neurons gone: perplexity")
    expect(page.locator("#generations-examples")).to_contain_text(re.compile(r"one of \d+ among 40"))
    for story in ("Weights mislead", "Half gone, nothing lost", "Where it breaks"):
        before = page.locator("#verdict h2").inner_text()
        page.get_by_role("link", name=story).click()
        expect(page.locator("#verdict h2")).not_to_have_text(before)
        expect(kind(page)).to_have_text("Measured")


def test_an_example_has_its_answers_at_once_and_a_question_of_ones_own_is_answered(page: Page) -> None:
    opened(page)
    live = page.locator("#generations-live .variant .text:visible")
    expect(live).to_have_count(3)
    first = page.locator("#generations-prompt textarea").input_value()
    page.locator("#generations-examples button").nth(1).click()
    expect(page.locator("#generations-prompt textarea")).not_to_have_value(first)
    assert len(set(live.all_inner_texts())) == 2, "the cut model answers otherwise"
    for words in ("A warm and funny film.", "Dull from the first minute to the last."):
        page.locator("#generations-prompt textarea").fill(words)
        page.locator("#generations-ask").click()
        expect(page.locator("#generations-live h5")).to_have_text(words, timeout=120_000)
        expect(live).to_have_count(3)


def test_on_a_phone_something_in_sight_changes_at_every_scroll_position(visit: Visit) -> None:
    page = opened(visit(390, 844))
    end = page.evaluate("document.body.scrollHeight - innerHeight")
    for place, ratio in zip(range(0, end + 400, 400), (0.3, 0.5) * 20, strict=False):
        page.evaluate("(place) => scrollTo(0, place)", place)
        expect(page.locator("#ratio input[type=range]")).to_be_in_viewport()
        expect(page.locator("#before-after .simple")).to_be_in_viewport()
        before = seen(page)
        slide(page, "#ratio", ratio)
        expect(page.locator("#ratio-value")).to_have_text(re.compile(rf"^{100 * ratio:.0f} % \d+ MB$"))
        assert seen(page) != before
    assert page.evaluate(_SCROLLS) == [], "nothing scrolls inside the page"
