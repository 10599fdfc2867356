"""A sweep over ratios: points appear as they are measured, stay after a stop, and open their runs."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FAST, MINILM, drawn, full, kind, redrawn, slide

pytestmark = pytest.mark.demo


def start(page: Page, first: float, last: float, number: int) -> None:
    sliders = page.locator("#tradeoff-form input[type=range]")
    for slider, value in zip(sliders.all(), (first, last, number), strict=True):
        slider.fill(f"{value:g}")
    page.get_by_role("button", name="Run at these ratios").click()
    expect(page.locator("#tradeoff-sweep-stop")).to_be_enabled()


def points(page: Page, figure: str) -> set[str]:
    """Keys of the runs in a figure."""
    found = json.loads(drawn(page, figure))["traces"]
    return {key for trace in found for key in trace.get("customdata") or () if key}


def keys(page: Page) -> set[str]:
    """Keys of the runs in the table."""
    buttons = page.locator("#tradeoff-table button[data-key]").all()
    return {str(button.get_attribute("data-key")) for button in buttons}


def test_the_tab_opens_on_the_shipped_runs_with_errors_and_predictions_of_every_criterion(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    full(page, MINILM, tab="trade-off")
    expect(page.locator("#tradeoff-table tbody tr")).to_have_count(9)
    expect(page.locator("#tradeoff-ratio .errorbar").first).to_be_attached()
    whiskers = """() => {
      const drawn = document.querySelector('#tradeoff-ratio .js-plotly-plot')?.data ?? [];
      const traces = drawn.filter((trace) => trace.error_y?.array);
      return traces.length && traces.map((trace) => [trace.x.length, Math.min(...trace.error_y.array) > 0]);
    }"""
    assert page.wait_for_function(whiskers).json_value() == [[9, True], [9, True]]  # repaired and not
    assert points(page, "#tradeoff-ratio") == points(page, "#tradeoff-pareto") == keys(page)

    # Whiskers have the colour of their marks. The picture is drawn again when the dark theme arrives, so ask until there are.
    colours = """() => {
      const all = [...document.querySelectorAll('#tradeoff-ratio .scatterlayer .trace')];
      const traces = all.filter((trace) => trace.querySelector('.errorbar path'));
      const colour = (trace, part, name) => getComputedStyle(trace.querySelector(part))[name];
      return traces.length
        && traces.map((trace) => [colour(trace, '.errorbar path', 'stroke'), colour(trace, '.point', 'fill')]);
    }"""
    found = page.wait_for_function(colours, timeout=30_000).json_value()
    assert all(whisker == mark for whisker, mark in found), found

    before = redrawn(page, "#criteria-ratio", "")
    assert len(json.loads(before)["traces"]) == 8
    table = page.locator("#criteria-table")
    expect(table.locator("tbody tr")).to_have_count(8)
    expect(table).to_contain_text("Predicted at 50% removed")
    slide(page, "#ratio", 0.3)
    expect(table).to_contain_text("Predicted at 30% removed")
    page.get_by_label("Mean error", exact=True).click()
    redrawn(page, "#criteria-ratio", before)
    expect(page.locator("#criteria-ratio")).to_contain_text("mean error of the sites, predicted")


def test_a_sweep_draws_its_points_and_each_opens_its_run(page: Page) -> None:
    full(page, f"{FAST}&seed=21", tab="trade-off")
    start(page, 0.2, 0.6, 2)
    status = page.locator("#tradeoff-sweep-status")
    expect(status).to_contain_text("Done: 2 runs", timeout=120_000)
    expect(page.locator("#tradeoff-sentence")).to_contain_text("2 runs that differ")
    expect(page.locator("#tradeoff-table tbody tr")).to_have_count(2)
    assert points(page, "#tradeoff-ratio") == points(page, "#tradeoff-pareto") == keys(page)

    page.locator("#tradeoff-table tbody tr").filter(has_text="20 % of").get_by_role("button").click()
    expect(page).to_have_url(re.compile("ratio=0.2"))
    expect(kind(page)).to_have_text("Measured")
    expect(page.locator("#ratio input[type=number]")).to_have_value("0.2")

    before = drawn(page, "#tradeoff-pareto")
    page.get_by_label("Size of the weights").check()
    redrawn(page, "#tradeoff-pareto", before)
    box = page.locator("#tradeoff-pareto .scatterlayer .point").last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#tradeoff-table tr[aria-current]")).to_have_count(1)
    expect(kind(page)).to_have_text("Measured")


def test_a_reload_finds_sweep_and_table_at_work_and_a_stopped_sweep_keeps_its_points(page: Page) -> None:
    full(page, f"{FAST.replace('=100', '=300')}&seed=22", tab="trade-off")
    start(page, 0.1, 0.9, 9)
    page.get_by_role("button", name="Compute the table").click()
    expect(page.locator("#tradeoff-masks-status")).to_contain_text("one job is before yours", timeout=30_000)
    page.reload()
    status = page.locator("#tradeoff-sweep-status")
    expect(status.locator("progress")).to_be_visible(timeout=30_000)
    expect(page.locator("#tradeoff-masks-status")).to_contain_text("before yours", timeout=30_000)
    page.locator("#tradeoff-masks-stop").click()
    expect(page.locator("#tradeoff-masks-status")).to_contain_text("Stopped")
    expect(status).to_contain_text(re.compile("[2-8] of 9 runs done"), timeout=120_000)
    page.locator("#tradeoff-sweep-stop").click()
    expect(status).to_contain_text("Stopped;", timeout=60_000)
    expect(page.get_by_role("button", name="Run at these ratios")).to_be_enabled()
    done = re.search(r"Stopped; (\d+) runs? done", status.inner_text())
    assert done is not None
    assert 2 <= int(done[1]) < 9
    expect(page.locator("#tradeoff-table tbody tr")).to_have_count(int(done[1]))
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-tab", "trade-off")
    expect(page.locator("#tradeoff-table tbody tr")).to_have_count(int(done[1]))


def test_masks_of_one_criterion_under_another_repair(page: Page) -> None:
    full(page, f"{FAST}&seed=23", tab="trade-off")
    for name in ("magnitude", "wanda", "obs", "kfac"):
        page.get_by_label(name, exact=True).last.uncheck()
    for name in ("bias", "scale", "liar"):
        page.get_by_label(name, exact=True).last.uncheck()
    page.get_by_role("button", name="Compute the table").click()
    expect(page.locator("#tradeoff-masks-status")).to_contain_text("Done: 1 criteria", timeout=120_000)
    (trace,) = json.loads(drawn(page, "#mask-table"))["traces"]
    assert [len(line) for line in trace["z"]] == [2]
    expect(page.locator("#mask-words")).to_contain_text("The dense model has accuracy")
    cells = json.loads(drawn(page, "#mask-table"))["traces"]
    page.reload()
    expect(page.locator("#mask-words")).to_contain_text("The dense model has accuracy")
    expect(page.locator("#mask-table .heatmaplayer .hm").first).to_be_visible()
    assert json.loads(drawn(page, "#mask-table"))["traces"] == cells
    with page.expect_download() as waiting:
        page.get_by_role("button", name="This table (CSV)").click()
    assert len(waiting.value.path().read_text().splitlines()) == 1 + 2
