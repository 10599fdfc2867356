"""Exploring: every choice is answered from the atlas, with no model in memory."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import (
    FAST,
    MINILM,
    Server,
    drawn,
    dropdown,
    full,
    kind,
    opened,
    redrawn,
    severe,
    slide,
    unfolded,
)

_CUTTING = """(slider) => {
  const found = [];
  for (let at = slider; at.id !== 'recipe'; at = at.parentElement) found.push(getComputedStyle(at).overflow);
  return found.filter((overflow) => overflow !== 'visible');
}"""
"""Script: values of ``overflow`` around a slider that would clip its focus ring."""


def no_model_is_loaded(server: Server) -> None:
    """Assert that no library of torch is mapped into the memory of the server."""
    if sys.platform == "linux":
        assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()


def test_a_move_of_the_slider_and_another_model_redraw_everything(still: Page, still_server: Server) -> None:
    assert still.locator("#ratio input[type=range]").evaluate(_CUTTING) == []
    expect(kind(still)).to_have_text("Measured")
    before, verdict = drawn(still, "#heatmap"), still.locator("#verdict h2").inner_text()
    place = still.locator("#heatmap").bounding_box()
    slide(still, "#ratio", 0.3)
    before = redrawn(still, "#heatmap", before)
    expect(kind(still)).to_have_text("Interpolated")
    expect(still.locator("#verdict h2")).not_to_have_text(verdict)
    expect(still).to_have_url(re.compile("ratio=0.3"))
    expect(still.locator("#heatmap-heading .kind")).to_have_text("Interpolated")
    assert still.locator("#heatmap").bounding_box() == place, "the layout must not shift while the slider moves"
    slide(still, "#ratio", 0.5)
    before = redrawn(still, "#heatmap", before)
    expect(kind(still)).to_have_text("Measured")
    expect(still.locator("#verdict h2")).to_have_text(verdict)
    expect(still.locator("#heatmap-heading .kind")).to_have_text("Measured")

    dropdown(still, "Model", "Writing: SmolLM2 135M Instruct")
    figure = json.loads(redrawn(still, "#heatmap", before))
    assert len(figure["traces"][0]["x"]) == 30
    expect(kind(still)).to_have_text("Predicted")
    expect(still.locator("#verdict")).to_contain_text("demo/smollm2-135m")
    expect(still).not_to_have_url(re.compile("minilm"))
    no_model_is_loaded(still_server)


def test_a_number_out_of_range_and_an_empty_field_are_one_sentence(still: Page) -> None:
    slide(still, "#ratio", 0.3)
    expect(still).to_have_url(re.compile("ratio=0.3"))
    expect(kind(still)).to_have_text("Interpolated")  # controls moved before the headline has arrived are filled anew
    seed = unfolded(still.locator("#seed input"))
    refusal = still.get_by_text("Seed: set a whole number from 0 to 2,147,483,647, not -1")
    seed.fill("-1")
    seed.press("Enter")
    seed.blur()
    expect(refusal).to_have_count(1)
    expect(still.locator(".toast-wrap .toast-body")).to_have_count(0)
    expect(seed).to_have_value("-1")
    expect(still.locator("#ratio input[type=number]")).to_have_value("0.3")
    seed.fill("2")
    seed.press("Enter")
    expect(refusal).to_have_count(0)
    expect(still).to_have_url(re.compile("ratio=0.3.*seed=2"))
    expect(still.locator("#verdict h2")).to_have_text("Nothing is known of this recipe yet.")
    seed.fill("")
    seed.blur()
    expect(still.locator("#status [role=alert]")).to_contain_text("empty")


def test_keys_and_quick_moves_of_the_slider_end_at_the_last_one(still: Page) -> None:
    """A late answer to an earlier move must not overwrite that of the last one."""
    still.locator("#ratio input[type=range]").press("ArrowRight")
    expect(still).to_have_url(re.compile("ratio=0.51"))
    expect(kind(still)).to_have_text("Predicted")
    for percent in range(20, 80, 3):
        slide(still, "#ratio", percent / 100)
    expect(still).to_have_url(re.compile("ratio=0.77"))
    expect(still.locator("#verdict")).to_contain_text("77 % of the heads and neurons, obs criterion")
    expect(still.locator("#ratio input[type=number]")).to_have_value("0.77")
    still.get_by_role("tab", name="Runs").press("Enter")
    expect(still.locator("#runs-table")).to_be_visible()
    expect(still).to_have_url(re.compile("tab=runs"))


def test_each_choice_changes_the_forecast(still: Page, still_server: Server) -> None:
    verdict = still.locator("#verdict")
    for label, option in (("Criterion", "magnitude"), ("Allocation", "uniform")):
        before = drawn(still, "#heatmap")
        dropdown(still, label, option)
        redrawn(still, "#heatmap", before)
        expect(verdict).to_contain_text(f"{option} {label.lower()}")
        expect(kind(still)).to_have_text("Predicted")
    dropdown(still, "Reconstruction", "bias")
    expect(verdict).to_contain_text("bias reconstruction")
    expect(still.locator("#stands-out")).to_contain_text("Worst with bias")
    before = drawn(still, "#heatmap")
    unfolded(still.locator("#targets").get_by_text("Heads")).click()
    redrawn(still, "#heatmap", before)
    expect(verdict).to_contain_text("of the attention heads")
    expect(kind(still)).to_have_text("Predicted")
    no_model_is_loaded(still_server)


_ON_THE_TRACK = """() => {
  const {value, min, max} = document.querySelector('#ratio [type=range]');
  const [track, mark] = ['#ratio [type=range]', '#ratio-marks [aria-pressed=true]'].map((selector) =>
    document.querySelector(selector).getBoundingClientRect());
  return Math.abs(track.left + 8 + (value - min) / (max - min) * (track.width - 16) - mark.left - mark.width / 2) < 1;
}"""
"""Whether the mark of the run that is shown stands under the thumb of the slider."""


def test_marks_under_the_slider_open_measured_runs_and_between_them_a_metric_is_interpolated(page: Page) -> None:
    page.add_init_script("""
        const find = Document.prototype.querySelector;
        Document.prototype.querySelector = function (selector) {
          return selector.startsWith('#ratio input') && !window.come ? null : find.call(this, selector);
        };
    """)
    full(page, MINILM)
    marks, track = page.locator("#ratio-marks button"), page.locator("#ratio input[type=range]")
    expect(marks).to_have_text(["10", "20", "30", "40", "50", "60", "70", "80", "90"])
    thumb = page.locator("#ratio-marks [aria-pressed=true]")
    expect(thumb).to_have_text("50")
    assert not page.evaluate(_ON_THE_TRACK)
    page.evaluate("window.come = true; document.querySelector('#recipe').append(document.createElement('i'))")
    page.wait_for_function(_ON_THE_TRACK)  # marks find a slider that comes after them
    track.evaluate("track => track.parentElement.style.paddingLeft = '30px'")  # the track alone becomes shorter
    page.wait_for_function(_ON_THE_TRACK)
    marks.filter(has_text="70").press("Enter")
    expect(page).to_have_url(re.compile("ratio=0.7"))
    expect(kind(page)).to_have_text("Measured")
    expect(thumb).to_have_text("70")
    expect(page.locator("#verdict .between")).to_have_count(0)
    slide(page, "#ratio", 0.75)
    expect(kind(page)).to_have_text("Interpolated")
    expect(page.locator("#verdict .between")).to_contain_text(
        re.compile(r"Between the runs at 70\s% and 80\s%: sentiment accuracy about \d\d\.\d\s%\.")
    )
    expect(thumb).to_have_count(0)
    dropdown(page, "Criterion", "magnitude")  # nothing of it is measured
    expect(marks).to_have_count(0)
    expect(page.locator("#verdict .between")).to_have_count(0)
    assert severe(page) == []


def test_a_need_sets_the_ratio_and_several_texts_are_a_mix(still: Page, still_server: Server) -> None:
    need = still.locator("#need").get_by_role("textbox")
    need.fill("90 %")
    need.press("Enter")
    expect(still.locator("#status")).to_contain_text(re.compile(r"A ratio of 0\.\d+ meets that"))
    expect(still).to_have_url(re.compile(r"ratio=0\.\d+"))
    expect(kind(still)).to_have_text("Interpolated")
    need.fill("nothing")
    need.press("Enter")
    expect(still.locator("#status [role=alert]")).to_contain_text("is no need that is known")

    unfolded(still.get_by_label("Calibration text", exact=True)).click()
    still.get_by_role("option", name="films", exact=True).click()
    expect(still).to_have_url(re.compile(r"calibration=auto\+%2B\+films"))
    expect(still.locator("#verdict")).to_contain_text("Nothing is known of this recipe yet")
    no_model_is_loaded(still_server)


@pytest.mark.demo
def test_a_recipe_without_an_atlas_is_calibrated_once_and_then_answers(page: Page) -> None:
    opened(page, f"/?{FAST}&layout=full&seed=31&tokens=1024")
    expect(page.locator("#status")).to_contain_text("Nothing is known")
    before = drawn(page, "#heatmap")
    page.get_by_role("button", name="Calibrate").click()
    expect(page.locator("#status progress")).to_be_visible()
    expect(page.get_by_role("button", name="Calibrate")).to_be_hidden(timeout=300_000)
    redrawn(page, "#heatmap", before)
    expect(kind(page)).to_have_text("Predicted")
    slide(page, "#ratio", 0.3)
    expect(page.locator("#verdict")).to_contain_text("30 % of the heads and neurons")
