"""What a link opens: the stored run, or a filled recipe and a sentence; never a broken page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

from components.opening import Opening, first_run
from components.recipe import Recipe, default_spec
from components.verdict import VerdictPanel
from liar.store import RunStore
from tests.fakes import classifier_run, language_run


@dataclass
class Page:
    opening: Opening
    recipe: Recipe
    verdict: VerdictPanel
    line: gr.HTML
    store: RunStore


@pytest.fixture
def page(tmp_path: Path) -> Page:
    store = RunStore(tmp_path / "runs", shipped=tmp_path / "shipped")
    with gr.Blocks():
        recipe, verdict, line = Recipe(default_spec(), None), VerdictPanel(None), gr.HTML()
    return Page(Opening(recipe, [verdict], line, store), recipe, verdict, line, store)


def test_the_first_screen_prefers_the_default_run(page: Page) -> None:
    assert first_run(page.store, default_spec()) is None
    page.store.save(classifier_run())
    assert first_run(page.store, default_spec()) == classifier_run()
    page.store.save(language_run())
    assert first_run(page.store, default_spec()) == language_run()


def test_a_bare_address_changes_nothing_that_is_shown(page: Page) -> None:
    assert page.opening.follow([]) == {page.line: ""}


def test_a_link_opens_its_stored_run(page: Page) -> None:
    run = classifier_run()
    page.store.save(run)
    updates = page.opening.follow([("model", run.spec.model), ("targets", "both"), ("evaluate", "sentiment")])
    assert updates[page.recipe.model] == run.spec.model
    assert "sentiment accuracy" in str(updates[page.verdict.text])
    assert page.line not in updates


def test_a_link_without_a_stored_run_fills_the_recipe_and_says_so(page: Page) -> None:
    updates = page.opening.follow([("ratio", "0.3")])
    assert updates[page.recipe.ratio] == 0.3
    assert "not kept here" in updates[page.line]
    assert page.verdict.text not in updates


def test_what_is_wrong_is_said_and_the_rest_followed(page: Page) -> None:
    updates = page.opening.follow([("ratio", "99"), ("seed", "7"), ("__theme", "dark")])
    assert updates[page.recipe.seed] == 7
    assert "ratio" in updates[page.line].lower()


def test_a_public_page_keeps_to_its_models(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.recipe.ANY_MODEL", False)
    updates = page.opening.follow([("model", "/etc")])
    assert set(updates) == {page.line}
    assert "does not offer" in updates[page.line]
