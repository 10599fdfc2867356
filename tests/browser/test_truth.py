"""Headline, pill and notes always belong to the same recipe as the figures below them.

A script in the page records every change of its elements, with the recipes named by headline, heatmap and panels and the
recipe stored in the drawn figure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from liar.spec import PruneSpec
from tests.browser.conftest import FAST, SLOW, apply, dropdown, events_of, finished, full, kind, slide, to_tab, unfolded

_WATCH = """() => {
  const of = (element) => element && {
    recipe: element.dataset.recipe ?? null,
    chosen: element.dataset.chosen ?? null,
    pill: element.querySelector('.kind')?.textContent ?? null,
    stale: element.querySelector('.stale') !== null,
    unknown: element.textContent.includes('Nothing is known of this recipe yet'),
  };
  const state = () => JSON.stringify({
    headline: of(document.querySelector('#verdict [data-recipe]')),
    heading: of(document.querySelector('#heatmap-heading [data-recipe]')),
    figure: document.querySelector('#heatmap .js-plotly-plot')?.layout?.meta?.recipe ?? null,
    notes: [...document.querySelectorAll('.provenance [data-recipe]')].map(of),
    measures: document.querySelector('#measures')?.textContent ?? '',
    answers: document.querySelector('#generations-stored')?.textContent ?? '',
  });
  window.moments = [state()];
  const record = () => {
    const now = state();
    if (now !== window.moments.at(-1)) window.moments.push(now);
  };
  // Components that change together do so in one task, though not in one step of it, and nothing is painted within a task.
  const task = new MessageChannel();
  task.port1.onmessage = record;
  new MutationObserver(() => task.port2.postMessage('')).observe(document.body, {
    childList: true, subtree: true, characterData: true, attributes: true,
  });
}"""


@dataclass(frozen=True)
class Moment:
    """Texts of the page at one moment, and the recipes that they belong to."""

    headline: dict[str, Any]
    heading: dict[str, Any] | None
    figure: str | None
    notes: list[dict[str, Any]]
    measures: str
    answers: str


@contextmanager
def watched(page: Page) -> Iterator[list[Moment]]:
    """Record every moment of the block; at its end the list is filled and each moment is checked."""
    page.evaluate(_WATCH)
    moments: list[Moment] = []
    yield moments
    moments += [Moment(**json.loads(text)) for text in page.evaluate("window.moments")]
    for moment in moments:
        agrees(moment)
    run_of: dict[str, str] = {}
    for moment in moments:  # figures change only together with the recipe that they name
        shown = moment.measures + moment.answers
        assert all(run_of.setdefault(note["recipe"], shown) == shown for note in moment.notes)


def agrees(moment: Moment) -> None:
    chosen = moment.headline["recipe"]
    assert (moment.heading and moment.heading["recipe"]) == moment.figure, moment
    for note in [moment.heading] * (moment.heading is not None) + moment.notes:
        if note["recipe"] == chosen:
            assert (note["stale"], note["chosen"]) == (False, None), moment
        else:
            assert (note["stale"], note["chosen"]) == (True, chosen), moment
    if moment.heading and moment.heading["recipe"] == chosen and moment.headline["pill"] != moment.heading["pill"]:
        # The sites of a run are measured before its metrics.
        assert moment.headline["pill"] in ("Predicted", "Interpolated", None), moment
        assert moment.heading["pill"] == "Measured", moment
        assert not moment.headline["unknown"], moment


def recipes(moments: list[Moment]) -> list[str]:
    """Recipes of the headline in order, repetitions dropped."""
    found = [moment.headline["recipe"] for moment in moments]
    return [key for at, key in enumerate(found) if at == 0 or found[at - 1] != key]


def test_moves_of_the_slider_and_back(still: Page) -> None:
    to_tab(still, "Accuracy")  # a panel is built when it is first shown
    expect(still.locator("#measures table")).to_be_visible()
    expect(still).to_have_url(re.compile("tab=accuracy"))  # later answers are those to moves alone
    with watched(still) as moments:
        for percent in (30, 31, 60, 50):
            slide(still, "#ratio", percent / 100)
            expect(kind(still)).to_have_text({50: "Measured", 60: "Predicted"}.get(percent, "Interpolated"))
            expect(still.locator("#verdict")).to_contain_text(f"{percent} % of the heads and neurons")
            expect(still.locator(".stale:visible")).to_have_count(0 if percent == 50 else 1)
    assert len(recipes(moments)) == 5
    assert max(len(moment.notes) for moment in moments) == 2


def test_other_models_known_and_unknown(still: Page) -> None:
    headline = still.locator("#verdict h2")
    with watched(still) as moments:
        dropdown(still, "Model", "Writing: SmolLM2 135M Instruct")
        expect(still.locator("#verdict")).to_contain_text("of the neurons gone: predicted error")
        model = still.get_by_label("Model", exact=True)
        model.fill("/no/such/folder")
        model.press("Enter")
        expect(headline).to_have_text("Nothing is known of this recipe yet.")
        expect(still.locator("#verdict")).to_contain_text("/no/such/folder: 50 %")
        expect(still.locator("#heatmap .js-plotly-plot")).to_be_hidden()
        dropdown(still, "Model", "Sentiment: MiniLM, movie sentences")
        expect(headline).to_contain_text("% correct")
        expect(still).to_have_url(re.compile("minilm-sentiment"))
        tokens = unfolded(still.locator("#tokens input"))
        tokens.fill("2000")
        tokens.blur()
        expect(headline).to_have_text("Nothing is known of this recipe yet.")
        expect(still.locator("#heatmap-heading .stale")).to_contain_text("calibration tokens by model width")
    assert len(recipes(moments)) == 5


@pytest.mark.parametrize("by", ["pick", "keys", "text"])
def test_a_chosen_model_is_one_event(still: Page, by: str) -> None:
    """The answer to a second one would put back what was typed into another field since the first."""
    sent = events_of(still, "model")
    model = still.get_by_label("Model", exact=True)
    if by == "pick":
        dropdown(still, "Model", "Topic: MiniLM, Wikipedia topics")
    elif by == "keys":
        model.focus()
        model.press("ArrowDown")
        model.press("Enter")
    else:
        model.fill("/no/such/folder")
        model.press("Enter")
    tokens = unfolded(still.locator("#tokens input"))
    expect(still.locator("#verdict")).not_to_contain_text("sentiment accuracy")
    tokens.fill("2000")
    tokens.blur()
    expect(still).to_have_url(re.compile("tokens=2000"))
    assert len(sent) == 1


@pytest.mark.demo
def test_after_a_stopped_run_the_earlier_figures_return(page: Page) -> None:
    full(page, f"{SLOW}&seed=71")
    own = page.locator(f"#heatmap-heading [data-recipe='{PruneSpec.from_query(SLOW + '&seed=71').key}']")
    with watched(page) as moments:
        expect(own).to_have_count(0)
        apply(page)
        expect(own).to_be_visible(timeout=90_000)  # its own sites appear before its metrics
        page.locator("#apply-stop").click()
        expect(page.locator("#status")).to_contain_text("Stopped.", timeout=60_000)
        expect(own).to_have_count(0)
    assert moments[-1].heading == moments[0].heading
    assert len(recipes(moments)) == 1
    assert {moment.headline["pill"] for moment in moments} == {None}, "no metric of it was measured"


@pytest.mark.demo
def test_a_run_ends_after_another_recipe_was_chosen(page: Page) -> None:
    full(page, f"{FAST}&seed=72")
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text("Nothing is known of this recipe yet.")
    expect(verdict).to_contain_text("fluctuation criterion")
    with watched(page) as moments:
        apply(page)
        slide(page, "#ratio", 0.3)
        expect(verdict).to_contain_text("30 % of the heads and neurons")
        finished(page)
        expect(kind(page)).to_have_text("Measured")
        expect(verdict).to_contain_text("50 % of the heads and neurons")
    assert len(recipes(moments)) == 3
