"""Heatmap, table and inspector: views, their common selection, and edits by hand."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from components.rail.recipe import default_spec
from tests.browser.conftest import MINILM, drawn, dropdown, full, kind, opened, redrawn, slide

LAYERS = default_spec().model_copy(update={"targets": "layers", "ratio": 0.2}).to_query()

FIGURES = ("errors", "scores", "units", "spectrum", "correlations")

_POINT = """([figure, column, row]) => {
  const plot = document.querySelector(figure + ' .js-plotly-plot');
  const { xaxis, yaxis } = plot._fullLayout, { x, y } = plot.getBoundingClientRect();
  return [x + xaxis._offset + xaxis.d2p(column), y + yaxis._offset + yaxis.d2p(row)];
}"""
"""Script: where a point of the first strip of a figure is in the window."""

_OUTLINED = """(layer) => {
  const { data, layout } = document.querySelector('#heatmap .js-plotly-plot') ?? {};
  const shapes = layout?.shapes ?? [];
  const outlined = new Set(shapes.map(({ yref }) => yref)).size;
  return shapes.every(({ x0 }) => x0 === layer - 0.5) && outlined > 1 && outlined === data.length;
}"""
"""Script: whether each of the strips outlines the layer."""

_ENDS = """() => {
  const axis = document.querySelector('#heatmap .js-plotly-plot').layout.coloraxis;
  return [axis.cmin, axis.cmax];
}"""
"""Script: ends of the colour scale."""


@pytest.fixture
def layers(page: Page) -> Page:
    """The tab Layers with its table open."""
    full(page, MINILM)
    page.get_by_role("button", name="All sites in a table").press("Enter")
    expect(page.locator("#heatmap-table table")).to_be_visible()
    return page


def click(page: Page, figure: str, column: int, row: str | int) -> None:
    """Click a cell of the first strip of the heatmap, or a square of the first row of units."""
    page.locator(figure).scroll_into_view_if_needed()
    x, y = page.evaluate(_POINT, [figure, column, row])
    page.mouse.move(x, y)  # plotly takes the target of a click from the hover before it
    page.mouse.click(x, y)


def selects(page: Page, site: str, heading: str) -> None:
    """Assert that heatmap, table, inspector and address all have ``site`` selected."""
    expect(page.locator("#site-words h3")).to_have_text(heading)
    expect(page.locator("#heatmap-table button[aria-pressed=true]")).to_have_text(site)
    expect(page).to_have_url(re.compile(f"site={re.escape(site)}"))
    page.wait_for_function(_OUTLINED, arg=int(site.split(".")[1]))


def test_each_view_is_drawn_and_goes_into_the_address(layers: Page) -> None:
    before = drawn(layers, "#heatmap")
    assert len(json.loads(before)["titles"]) > 1
    dropdown(layers, "Show", "liar")
    before = redrawn(layers, "#heatmap", before)
    assert [title.split("  ")[0] for title in json.loads(before)["titles"]] == ["<b>liar</b>"]
    expect(layers.locator("#stands-out")).to_contain_text("Worst with liar")
    dropdown(layers, "Show", "difference of none and least-squares")
    before = redrawn(layers, "#heatmap", before)
    assert "none ÷ least-squares" in before
    # The longest choice does not run under its arrow.
    words = "(input) => [input.scrollWidth - input.clientWidth, input.getBoundingClientRect().right]"
    cut, right = layers.get_by_label("Show", exact=True).evaluate(words)
    arrow = layers.locator("#heatmap-controls .icon-wrap").first.bounding_box()
    assert arrow is not None
    assert cut <= 0
    assert right <= arrow["x"]
    # Clicked, not checked: an answer that was on its way sets the control once more before its own does.
    layers.get_by_label("linear", exact=True).click()
    before = redrawn(layers, "#heatmap", before)
    assert "none - least-squares" in before
    layers.get_by_label("norm-aware", exact=True).click()
    redrawn(layers, "#heatmap", before)
    expect(layers.locator("#heatmap-table caption")).to_contain_text("Norm-aware error")
    for choice in ("show=none-least-squares", "scale=linear", "weighting=norm-aware"):
        expect(layers).to_have_url(re.compile(choice))


def test_the_slider_keeps_the_picture_of_a_block_open_and_the_colours_unless_they_are_fitted(layers: Page) -> None:
    picture, question = layers.locator("#block-picture"), layers.get_by_text("What do I see?")
    expect(picture).to_be_hidden()
    question.click()
    expect(picture).to_be_visible()
    words, before, same = picture.inner_text(), drawn(layers, "#heatmap"), layers.evaluate(_ENDS)
    slide(layers, "#ratio", 0.1)
    redrawn(layers, "#heatmap", before)
    assert layers.evaluate(_ENDS) == same
    expect(picture).not_to_have_text(words, use_inner_text=True)
    expect(picture).to_be_visible()
    question.click()
    expect(picture).to_be_hidden()
    layers.get_by_label("Fit", exact=True).check()
    expect(layers).to_have_url(re.compile("colours=fit"))
    layers.wait_for_function(f"([low, high]) => ({_ENDS})()[1] < high", arg=same)


def test_a_site_is_selected_everywhere_by_a_click_or_in_the_table_and_stays_selected(layers: Page) -> None:
    layers.evaluate("document.querySelector('#heatmap').scrollIntoView()")
    click(layers, "#heatmap", 3, "FFN")
    expect(layers.locator("#site-words h3")).to_be_in_viewport()
    selects(layers, "layers.3.ffn", "Layer 3 FFN")
    for name in FIGURES:
        expect(layers.locator(f"#site-{name} .main-svg").first).to_be_visible()
    errors = layers.locator("#site-words table")
    expect(errors.get_by_role("columnheader")).to_have_text(["Reconstruction", "Predicted", "Measured"])
    expect(layers.locator("#site-words .formula math").first).to_be_visible()
    expect(layers.locator("#site-words .formula")).to_contain_text("384")
    click(layers, "#heatmap", 4, "attention")
    selects(layers, "layers.4.attention", "Layer 4 attention")
    for name in FIGURES:
        expect(layers.locator(f"#site-{name} + * p, .site-figure:has(#site-{name}) .caption p").first).to_be_visible()
    click(layers, "#heatmap", 4, "attention")
    expect(layers.locator("#site")).to_be_hidden()
    expect(layers).not_to_have_url(re.compile("site="))

    layers.get_by_role("button", name="layers.1.attention").press("Enter")
    selects(layers, "layers.1.attention", "Layer 1 attention")
    click(layers, "#heatmap", 2, "FFN")
    selects(layers, "layers.2.ffn", "Layer 2 FFN")
    before = drawn(layers, "#site-errors")
    layers.locator("#ratio input[type=range]").fill("0.72")
    expect(kind(layers)).to_have_text("Interpolated")
    redrawn(layers, "#site-errors", before)
    selects(layers, "layers.2.ffn", "Layer 2 FFN")
    layers.locator("#targets").get_by_text("Heads").click()
    expect(layers.locator("#site-hint")).to_contain_text("layers.2.ffn is not pruned by this recipe")


def test_heads_are_clicked_off_and_on_and_the_forecast_follows(layers: Page) -> None:
    click(layers, "#heatmap", 2, "attention")
    drawn(layers, "#site-units")
    before = layers.locator("#site-words").inner_text()
    click(layers, "#site-units", 0, 0)  # the first unit, whose number is false in a script
    said = layers.locator("#site-edits-said")
    expect(said).to_contain_text("The recipe now has: layers.2.attention:")
    expect(kind(layers)).to_have_text("Predicted")
    expect(layers.locator("#site-words")).not_to_contain_text("not known")
    first = said.inner_text()
    expect(layers).to_have_url(re.compile("edits=layers.2.attention"))
    drawn(layers, "#site-units")
    click(layers, "#site-units", 0, 0)
    expect(said).not_to_have_text(first)
    layers.get_by_role("button", name="Undo edits of this site").click()
    expect(kind(layers)).to_have_text("Measured")
    expect(layers.locator("#site-words")).to_have_text(before, use_inner_text=True)
    expect(layers.get_by_role("button", name="Undo edits of this site")).to_be_hidden()


def test_whole_layers_have_a_map_of_every_run_of_them(page: Page) -> None:
    full(page, LAYERS)
    expect(page.locator("#heatmap-heading h3")).to_contain_text("Error of every run of layers")
    expect(page.locator("#stands-out")).to_contain_text("replaces them")
    expect(page.locator("#verdict")).to_contain_text("6 of 30 layers gone")
    expect(page.locator("#heatmap-controls")).to_be_hidden()
    before = drawn(page, "#heatmap")
    assert len(json.loads(before)["shapes"]) == 2, "the run that went is outlined, white in black"
    page.get_by_role("button", name="All runs of layers in a table").press("Enter")
    expect(page.locator("#heatmap-table tbody tr")).to_have_count(sum(30 - length for length in range(1, 7)))
    slide(page, "#ratio", 0.3)
    expect(page.locator("#verdict")).to_contain_text("9 of 30 layers gone")
    redrawn(page, "#heatmap", before)
    slide(page, "#ratio", 0.25)
    expect(page.locator("#status")).to_contain_text("What whole layers cost is not known")
    page.locator("#targets").get_by_text("Neurons").click()
    expect(page.locator("#heatmap-heading h3")).to_contain_text("Error by layer and site")
    expect(page.locator("#heatmap-controls")).to_be_visible()


def by_hand(page: Page) -> None:
    page.get_by_role("button", name="Decide by hand").click()
    expect(page.get_by_label("Units to keep")).to_be_visible()
    # The ratio is 0 at first, then 0.5 with the whole recipe; once it is the site's, the fields keep what is typed.
    expect(page.locator("#site-edits input[type=number]")).not_to_have_value(re.compile(r"^0(\.5)?$"))


def test_decisions_by_hand_reach_recipe_address_and_forecast(page: Page) -> None:
    full(page, MINILM, site="layers.3.ffn")
    before, edits = drawn(page, "#heatmap"), page.locator("#edits textarea")
    by_hand(page)
    page.get_by_label("Units to keep").fill("5000")
    page.get_by_role("button", name="Apply to the recipe").click()
    expect(page.locator("#site-edits-said [role=alert]")).to_contain_text("units 0 to 1535, not 5000")
    expect(edits).to_have_value("")
    expect(kind(page)).to_have_text("Measured")

    page.get_by_label("Units to keep").fill("0-3, 7")
    page.get_by_label("Units to remove").fill("9")
    page.locator("#site-edits input[type=range]").fill("0.25")
    expect(page.get_by_label("A ratio of its own")).to_be_checked()
    page.get_by_role("button", name="Apply to the recipe").click()

    expect(page.locator("#site-edits-said")).to_contain_text("The recipe now has")
    lines = ["layers.3.ffn:keep=0-3,7", "layers.3.ffn:ratio=0.25", "layers.3.ffn:remove=9"]
    expect(edits).to_have_value(re.compile("keep=0-3,7"))
    assert sorted(edits.input_value().splitlines()) == lines
    for choice in ("ratio%3D0.25", "keep%3D0-3%2C7", "remove%3D9"):
        expect(page).to_have_url(re.compile(f"edits=layers.3.ffn%3A{choice}"))
    expect(kind(page)).to_have_text("Predicted")
    expect(page.locator("#verdict")).to_contain_text("edited by hand at 1 site")
    expect(page.locator("#site-words")).to_contain_text("1,152 of 1,536 neurons kept")
    redrawn(page, "#heatmap", before)

    link = page.url
    opened(page, link)
    expect(page.locator("#site-words")).to_contain_text("1,152 of 1,536 neurons kept")
    by_hand(page)
    expect(page.get_by_label("Units to keep")).to_have_value("0-3,7")
    page.get_by_role("button", name="Undo edits of this site").click()
    expect(edits).to_have_value("")
    expect(kind(page)).to_have_text("Measured")
    expect(page).not_to_have_url(re.compile("edits="))
