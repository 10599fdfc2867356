"""The address holds recipe and view; an invalid one gives one sentence on a page that still works."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import MINILM, drawn, dropdown, full, kind, opened, slide, to_tab


def test_an_invalid_address_of_an_unknown_model_is_one_sentence_on_a_valid_page(page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    script, image = "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"
    wrong = f"ratio=99&nonsense=1&criterion={script}&site={image}&tab=nowhere"
    opened(page, f"/?model=no/such-model&layout=full&{wrong}")
    for words in ("from 0 to 0.95", "no choice called", "criterion should be", "site should be", "tab should be"):
        expect(page.locator("#status [role=alert]")).to_contain_text(words)
    expect(page.get_by_role("button", name="Measure it", exact=True)).to_be_enabled()
    assert dialogs == [], "a script of the address ran"
    expect(page.locator("#model input")).to_have_value("no/such-model")
    expect(page.locator("#verdict h2")).to_have_text("Nothing is known of this recipe yet.")
    expect(page.locator("#heatmap .heatmaplayer .hm")).to_have_count(0)


def test_a_link_fills_the_recipe_and_every_part_of_the_view(page: Page) -> None:
    recipe = f"{MINILM}&ratio=0.3&criterion=wanda&schedule=one-shot"
    full(page, recipe, tab="runs", show="none-liar", scale="linear", weighting="norm-aware", site="layers.2.attention")
    expect(page.locator("#runs-table")).to_be_visible()
    expect(page.locator("#ratio input[type=number]")).to_have_value("0.3")
    expect(page.get_by_label("Both", exact=True)).to_be_checked()
    expect(page.get_by_label("Criterion", exact=True)).to_have_value("wanda")
    expect(page.get_by_label("one-shot", exact=True)).to_be_checked()
    to_tab(page, "Layers")
    expect(page.get_by_label("Show", exact=True)).to_have_value("difference of none and liar")
    expect(page.get_by_label("linear", exact=True)).to_be_checked()
    expect(page.get_by_label("norm-aware", exact=True)).to_be_checked()
    expect(page.locator("#site-words h3")).to_have_text("Layer 2 attention")
    expect(page.locator("#heatmap .heatmaplayer .hm").first).to_be_visible()
    assert "none - liar" in json.loads(drawn(page, "#heatmap"))["titles"][0]


def test_the_address_follows_the_page_and_a_reload_brings_it_back(page: Page) -> None:
    full(page, site="layers.2.ffn")
    slide(page, "#ratio", 0.42)
    expect(page).to_have_url(re.compile("ratio=0.42"))
    expect(kind(page)).to_have_text("Interpolated")
    # Plotly builds clip paths with the address at drawing time; figures must not vanish when the address changes.
    clips = page.evaluate("[...document.querySelectorAll('[clip-path]')].map(node => node.getAttribute('clip-path'))")
    assert clips
    assert not [clip for clip in clips if "http" in clip]
    # The answers to one click may arrive in either order; of an earlier tab, the address is not written.
    page.evaluate("document.body.dataset.tab = 'runs'")
    slide(page, "#ratio", 0.43)
    expect(page.locator("#verdict")).to_contain_text("43 % of the neurons")
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert "0.43" not in page.url
    page.evaluate("document.body.dataset.tab = 'layers'; window.dispatchEvent(new Event('liar:marked'))")
    expect(page).to_have_url(re.compile("ratio=0.43"))
    to_tab(page, "Accuracy")
    expect(page).to_have_url(re.compile("tab=accuracy"))
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-tab", "accuracy")
    expect(page.locator("#ratio input[type=number]")).to_have_value("0.43")
    expect(kind(page)).to_have_text("Interpolated")


def test_back_returns_to_the_model_the_layout_and_the_tab_before(page: Page) -> None:
    """Each of them is an entry of the history; a move of the slider is not."""
    opened(page)
    ratio, number = page.locator("#ratio input[type=range]"), page.locator("#ratio input[type=number]")
    body, model = page.locator("body"), page.get_by_label("Model", exact=True)
    entries = page.evaluate("history.length")
    page.locator("#layout").get_by_text("Full").click()
    expect(page).to_have_url(re.compile("layout=full"))
    for value in ("0.41", "0.42"):
        ratio.fill(value)
        expect(page).to_have_url(re.compile(f"ratio={value}"))
    to_tab(page, "Accuracy")
    expect(page).to_have_url(re.compile("tab=accuracy"))
    dropdown(page, "Model", "Topic: MiniLM, Wikipedia topics")
    expect(page).to_have_url(re.compile("minilm-topic"))
    ratio.fill("0.3")
    expect(page).to_have_url(re.compile("ratio=0.3"))
    assert page.evaluate("history.length") == entries + 3

    page.go_back()
    expect(model).to_have_value("Sentiment: MiniLM, movie sentences")
    expect(number).to_have_value("0.42")
    expect(page.locator("#verdict")).to_contain_text("42 % of the heads and neurons")
    expect(body).to_have_attribute("data-tab", "accuracy")
    page.go_back()
    expect(body).to_have_attribute("data-tab", "layers")
    expect(page.get_by_role("tab", name="Layers")).to_have_attribute("aria-selected", "true")
    expect(number).to_have_value("0.42")
    page.go_back()
    expect(body).to_have_attribute("data-layout", "simple")
    expect(page.get_by_label("Simple", exact=True)).to_be_checked()
    expect(number).to_have_value("0.7")
    expect(kind(page)).to_have_text("Measured")
    for _ in range(3):
        page.go_forward()
    expect(model).to_have_value("Topic: MiniLM, Wikipedia topics")
    expect(number).to_have_value("0.3")
    expect(body).to_have_attribute("data-tab", "accuracy")
    assert page.evaluate("history.length") == entries + 3


def test_the_layout_is_remembered_and_no_entry_of_the_history(page: Page) -> None:
    opened(page)
    expect(page.get_by_role("tab", name="Accuracy")).to_be_hidden()
    page.locator("#layout").get_by_text("Full").click()
    expect(page).to_have_url(re.compile("layout=full"))
    entries = page.evaluate("history.length")
    page.goto("/")
    expect(page).to_have_url(re.compile("layout=full$"))
    expect(page.locator("body")).to_have_attribute("data-layout", "full")
    expect(page.get_by_role("tab", name="Accuracy")).to_be_visible()
    assert page.evaluate("history.length") == entries + 1


def test_a_link_hides_what_a_teacher_leaves_out(page: Page) -> None:
    opened(page, "/?hide=criterion,generations,before-after")
    for part in ("#criterion", "#generations", "#before-after-card"):
        expect(page.locator(part)).to_be_hidden()
    page.locator("#ratio input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    expect(kind(page)).to_have_text("Interpolated")
    expect(page).to_have_url(re.compile("hide=criterion"))
    expect(page.locator("#criterion")).to_be_hidden()
    opened(page, "/?hide=everything")
    expect(page.locator("#status")).to_contain_text("hide should be names of controls and parts of the page")
    expect(page.locator("#criterion")).to_be_visible()
