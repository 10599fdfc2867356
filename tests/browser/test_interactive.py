"""The page to explore a run on, opened from disk with the network off: its numbers are those of the library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from liar.explore.atlas import Atlas
from liar.explore.forecast import forecast
from liar.report.pages.html import html_report
from liar.report.words.metric_sentences import counts, percent
from liar.report.words.sentences import mean_words, parameters
from liar.results import RunResult
from liar.spec import ALLOCATIONS
from tests.browser.conftest import SCREENS, severe, too_wide
from tests.shipped import shipped_pair

RATIOS = [step / 20 for step in range(19)] + [0.33, 0.92]
_FORECAST = """async (choices) => {
  const found = [];
  for (const { criterion = data.run.criterion, ...choice } of choices) {
    forecasters[criterion] ??= await forecaster(data, criterion);
    found.push(forecasters[criterion](choice));
  }
  return found;
}"""


def forecast_of(run: RunResult, atlas: Atlas, **changes: Any) -> RunResult:
    """``run`` with other choices, and the sites that are forecast of them."""
    expected = forecast(run.spec.model_copy(update=changes), atlas)
    return run.model_copy(update={"spec": expected.spec, "sites": expected.sites, "totals": expected.totals})


def saved(run: RunResult, atlas: Atlas, folder: Path, criteria: Sequence[str] = ()) -> str:
    path = folder / "page.html"
    path.write_text(html_report(run, atlas, criteria), encoding="utf-8")
    return path.as_uri()


def forecasts_agree(page: Page, run: RunResult, atlas: Atlas, choices: list[dict[str, Any]]) -> None:
    """Assert that the page's forecasts of ``choices`` are those of the library."""
    for choice, found in zip(choices, page.evaluate(_FORECAST, choices), strict=True):
        chosen = {"reconstruction" if name == "repair" else name: value for name, value in choice.items()}
        expected = forecast(run.spec.model_copy(update=chosen), atlas)
        assert [site["kept"] for site in found["sites"]] == [site.kept for site in expected.sites], choice
        assert [site["errors"] for site in found["sites"]] == [site.error for site in expected.sites], choice
        assert found["after"] == expected.totals.parameters_after, choice
        assert found["blocks"] == expected.totals.block_parameters_after, choice


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("demo/smollm2-135m", {}),
        ("demo/smollm2-135m", {"targets": "both"}),
        ("demo/minilm-sentiment", {}),
        ("demo/minilm-sentiment", {"multiple": 64}),
    ],
)
def test_its_forecasts_are_those_of_the_library(
    offline: Page, tmp_path: Path, model: str, changes: dict[str, Any]
) -> None:
    shown, atlas = shipped_pair(model)
    run = forecast_of(shown, atlas, **changes)
    offline.goto(saved(run, atlas, tmp_path))
    most = 0.6 if changes.get("targets") == "both" else 1.0  # SmolLM2 has three groups of heads in a layer
    choices = [
        {"ratio": ratio, "allocation": allocation, "repair": repair}
        for ratio in RATIOS
        if ratio <= most
        for allocation in ALLOCATIONS
        for repair in ("none", "least-squares")
    ]
    forecasts_agree(offline, run, atlas, choices)


def test_its_words_are_those_of_the_library(offline: Page, tmp_path: Path) -> None:
    shown, atlas = shipped_pair("demo/smollm2-135m")
    sites = [
        site.model_copy(update={"kept": site.units * 3 // 8, "error": dict.fromkeys(site.error, 0.0003)})
        for site in shown.sites
    ]
    before, after = shown.totals.parameters_before, 589_900
    totals = shown.totals.model_copy(update={"parameters_after": after, "block_parameters_after": after})
    run = shown.model_copy(update={"sites": sites, "totals": totals})
    offline.goto(saved(run, atlas, tmp_path))
    assert percent(0.625) == "63 %"
    for words in (offline.locator("h1"), offline.locator("#verdict")):
        expect(words).to_contain_text("63\u00a0% of the neurons")
    expect(offline.locator("#verdict")).to_contain_text("mean error 0.0003, repaired 0.0003;")
    expect(offline.locator("#heatmap text").first).to_have_text("none  mean 0.0003")
    assert mean_words([0.0003]) == "0.0003"
    expect(offline.locator("#left")).to_have_text(parameters(run))  # which takes any white space for a space
    small = [[1_030_000, after], [before, after], [12, 3], [2_500, 700]]
    assert offline.evaluate("(pairs) => pairs.map((pair) => counts(...pair))", small) == [
        [each.replace(" ", "\u00a0") for each in counts(*pair)] for pair in small
    ]


def test_with_every_criterion_its_forecasts_are_those_of_the_library(offline: Page, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/minilm-sentiment")
    offline.goto(saved(run, atlas, tmp_path, atlas.facts.criteria))
    choices = [
        {"criterion": criterion, "ratio": ratio, "allocation": allocation, "repair": "liar"}
        for criterion in atlas.facts.criteria
        for ratio in (0.15, 0.5, 0.8)
        for allocation in ALLOCATIONS
    ]
    forecasts_agree(offline, run, atlas, choices)


def test_the_criterion_can_be_changed_if_there_are_several(offline: Page, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/minilm-sentiment")
    offline.goto(saved(run, atlas, tmp_path, atlas.facts.criteria))
    expect(offline.locator("#verdict")).not_to_be_empty()
    measured = offline.locator("#verdict").inner_text()
    menu = offline.get_by_label("Criterion", exact=True)
    expect(menu.locator("option")).to_have_count(len(atlas.facts.criteria))
    expect(menu).to_have_value(run.spec.criterion)
    menu.select_option("magnitude")
    expect(offline.locator("#kind")).to_have_text("Predicted")
    expect(offline.locator("#verdict")).not_to_have_text(measured)
    expect(offline.locator("#curves polyline")).to_have_count(5)
    offline.get_by_role("button", name="Back to the run").click()
    expect(menu).to_have_value(run.spec.criterion)
    expect(offline.locator("#verdict")).to_have_text(measured)
    offline.goto(saved(run, atlas, tmp_path))
    expect(menu).to_have_count(0)


def test_a_browser_that_cannot_read_the_curves_shows_the_run_and_says_so(offline: Page, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/minilm-sentiment")
    offline.add_init_script("delete window.DecompressionStream")
    offline.goto(saved(run, atlas, tmp_path))
    expect(offline.locator("#unreadable")).to_be_visible()
    expect(offline.locator("#heatmap rect").first).to_be_visible()
    expect(offline.locator("#live")).to_be_hidden()


def test_a_choice_is_predicted_and_the_run_measured(offline: Page, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/minilm-sentiment")
    offline.goto(saved(run, atlas, tmp_path))
    kind, verdict = offline.locator("#kind"), offline.locator("#verdict")
    ratio = offline.get_by_label("Ratio", exact=True)
    expect(kind).to_have_text("Measured")
    measured = verdict.inner_text()
    slider = offline.locator("#ratio")
    slider.focus()
    slider.press("ArrowRight")
    expect(kind).to_have_text("Predicted")
    expect(ratio).to_have_value("0.51")
    offline.get_by_label("Repair", exact=True).select_option("none")
    expect(verdict).not_to_contain_text("repaired")
    offline.locator("#heatmap rect[data-site='3']").first.click()
    expect(offline.locator("#site-words")).to_contain_text(f"{run.sites[3].name}: ")
    expect(offline.locator("#site-errors tr")).to_have_count(5)
    ratio.fill("0.95")
    expect(kind).to_have_text("Predicted")
    ratio.fill("")
    ratio.fill("7")
    expect(offline.locator("#ratio")).to_have_value("0.95")
    offline.get_by_text("The same as a table").click()
    offline.get_by_role("button", name="Back to the run").click()
    expect(kind).to_have_text("Measured")
    expect(verdict).to_have_text(measured)
    first = offline.locator("#sites tr").first
    expect(first).to_contain_text(f"{run.sites[0].kept:,} of {run.sites[0].units:,}")
    expect(first).to_contain_text(f"{run.sites[0].error['liar']:.4f}")


def test_a_ratio_that_empties_a_site_is_one_sentence(offline: Page, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/smollm2-135m")
    offline.goto(saved(forecast_of(run, atlas, targets="both"), atlas, tmp_path))
    offline.get_by_label("Ratio", exact=True).fill("0.9")
    expect(offline.get_by_role("alert")).to_have_text(
        "layers.0.attention would be left without units; choose a ratio of at most 0.67."
    )


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_it_can_be_read_by_everybody(offline: Page, tmp_path: Path, width: int, scheme: Any) -> None:
    offline.set_viewport_size(ViewportSize(width=width, height=900))
    offline.emulate_media(color_scheme=scheme)
    offline.goto(saved(*shipped_pair("demo/minilm-sentiment"), tmp_path))
    offline.locator("#ratio").press("ArrowLeft")
    expect(offline.locator("#kind")).to_have_text("Predicted")
    assert too_wide(offline) <= 0
    assert severe(offline) == []


def test_without_scripts_a_picture_and_a_table_stand_there(browser: Browser, tmp_path: Path) -> None:
    run, atlas = shipped_pair("demo/minilm-sentiment")
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    page.goto(saved(run, atlas, tmp_path))
    expect(page.get_by_text(re.compile("Scripts are off"))).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    expect(page.locator("#heatmap rect")).to_have_count(60)
    expect(page.locator("#heatmap rect").first).to_be_visible()
    page.context.close()
