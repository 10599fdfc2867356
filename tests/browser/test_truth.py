"""At no moment does a headline, a pill or a note speak of another recipe than the figures it stands over.

The page is watched from within: every change of its elements is recorded together with the recipes that headline, heatmap and
panels say they are of, and the recipe that the drawn figure itself carries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, full, kind, slide, to_tab

_WATCH = """() => {
  const of = (element) => element && {
    recipe: element.dataset.recipe ?? null,
    chosen: element.dataset.chosen ?? null,
    pill: element.querySelector('.kind')?.textContent ?? null,
    stale: element.querySelector('.stale') !== null,
  };
  const state = () => JSON.stringify({
    headline: of(document.querySelector('#verdict [data-recipe]')),
    heading: of(document.querySelector('#heatmap-heading > * [data-recipe], #heatmap-heading [data-recipe]')),
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
    """What the page said at one moment, and of which recipe."""

    headline: dict[str, Any]
    heading: dict[str, Any] | None
    figure: str | None
    notes: list[dict[str, Any]]
    measures: str
    answers: str


@contextmanager
def watched(page: Page) -> Iterator[list[Moment]]:
    """Every moment of what happens inside; the list is filled at the end, and then held against the rule."""
    page.evaluate(_WATCH)
    moments: list[Moment] = []
    yield moments
    moments += [Moment(**json.loads(text)) for text in page.evaluate("window.moments")]
    for moment in moments:
        agrees(moment)
    run_of: dict[str, str] = {}
    for moment in moments:  # figures change with the recipe that they are said to be of, and only with it
        for note in moment.notes:
            assert (
                run_of.setdefault(note["recipe"], moment.measures + moment.answers) == moment.measures + moment.answers
            )


def agrees(moment: Moment) -> None:
    chosen = moment.headline["recipe"]
    assert moment.heading is not None
    assert moment.heading["recipe"] == moment.figure, moment
    for note in (moment.heading, *moment.notes):
        if note["recipe"] == chosen:
            assert (note["stale"], note["chosen"]) == (False, None), moment
        else:
            assert (note["stale"], note["chosen"]) == (True, chosen), moment
    if moment.heading["recipe"] == chosen and moment.headline["pill"] != moment.heading["pill"]:
        # The sites of a run are measured before its metrics are.
        assert (moment.headline["pill"], moment.heading["pill"]) == ("Predicted", "Measured"), moment


def recipes(moments: list[Moment]) -> list[str]:
    """What the headline spoke of, in order."""
    found = [moment.headline["recipe"] for moment in moments]
    return [key for at, key in enumerate(found) if at == 0 or found[at - 1] != key]


@pytest.fixture
def still(visit_still: Visit) -> Page:
    return full(visit_still())


def test_moves_and_the_way_back(still: Page) -> None:
    with watched(still) as moments:
        for percent in (30, 31, 60, 50):
            slide(still, "#ratio", percent / 100)
            expect(kind(still)).to_have_text("Measured" if percent == 50 else "Predicted")
            expect(still.locator("#verdict")).to_contain_text(f"{percent} % of the heads and neurons")
        to_tab(still, "Accuracy")
        slide(still, "#ratio", 0.4)
        expect(still.locator("#tab-accuracy .stale, #accuracy .stale, .provenance .stale").first).to_be_visible()
    assert len(recipes(moments)) >= 5
