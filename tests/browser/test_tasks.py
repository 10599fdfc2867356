"""What was measured: sentences and running text, answers in a text, questions to a language model, texts of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from liar.results import VARIANTS, RunResult
from liar.spec import PruneSpec
from liar.store import RunStore
from tests.browser.conftest import (
    FAST,
    MINILM,
    OUT,
    apply,
    drawn,
    finished,
    full,
    kind,
    severe,
    to_tab,
    too_wide,
    unfolded,
)

CSV = """text,label
A warm and honest film with a wonderful cast.,positive
Dull from the first minute to the last.,negative
I laughed all the way home.,positive
The plot falls apart in the second half.,negative
"""


def shipped(task: str) -> RunResult:
    """Shipped run at the default ratio that measured ``task``."""
    specs = [run.spec for run in RunStore(OUT / "none").summaries() if task in run.spec.evaluate]
    run = RunStore(OUT / "none").load(next(spec.key for spec in specs if spec.ratio == PruneSpec().ratio))
    assert run is not None
    return run


def photographed(page: Page, name: str) -> None:
    """Picture of the whole page, after the checks that any view has to pass."""
    assert severe(page) == []
    assert too_wide(page) <= 0
    page.screenshot(path=OUT / f"{name}.png", full_page=True)


def test_bars_table_and_changes_are_of_the_run(page: Page) -> None:
    full(page, MINILM, tab="accuracy")
    expect(page.locator("#metrics .barlayer .point")).to_have_count(3)
    rows = page.locator("#measures tbody tr")
    expect(rows).to_have_count(3)
    shown = [rows.nth(at).get_by_role("cell").first.inner_text() for at in range(3)]
    bars = [value for trace in json.loads(drawn(page, "#metrics"))["traces"] for value in trace["x"]]
    assert shown == [f"{100 * value:.1f} %" for value in bars]
    expect(rows.first).to_contain_text("1,200 of 1,501 texts of at most 256 tokens")
    expect(rows.last).to_contain_text("reconstructed")
    # Every group of changes opens, and marks what is wrong.
    expect(page.locator("#changes h5")).to_have_count(3)
    broken = page.locator("#changes details").first
    broken.locator("summary").press("Enter")
    expect(broken.locator("li")).to_have_count(12)
    first = broken.locator("li").first
    expect(first.locator(".dense")).to_contain_text("✓")
    expect(first.locator(".pruned .wrong")).to_contain_text("✗")


@pytest.mark.demo
def test_a_question_its_context_three_answers_and_every_metric(page: Page) -> None:
    full(page, shipped("span").spec.to_query(), tab="generations")
    first = page.locator("#generations-stored section").first
    question, context = first.locator("h5").inner_text().splitlines()
    assert question.startswith("What is")
    answers = first.locator(".variant")
    expect(answers).to_have_count(len(VARIANTS))
    given = [answer for answer in shipped("span").generations if answer.prompt.startswith(question)]
    assert len(given) == len(VARIANTS)
    for answer in given:
        assert answer.text in context, "an answer is a part of the context"
        expect(first.locator(f".variant.{answer.variant}")).to_contain_text(answer.text)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        photographed(page, f"span-generations-{width}")

    to_tab(page, "Accuracy")
    rows = page.locator("#measures tbody tr")
    expect(rows).to_have_count(2 * len(VARIANTS))
    expect(rows.first).to_contain_text("F1 of answers")
    expect(page.locator("#measures")).to_contain_text("exact match")
    expect(page.locator("#changes h5")).to_have_count(3)
    photographed(page, "span-accuracy")

    to_tab(page, "Generations")
    page.get_by_label("Question, and its context in the next line").fill(
        "What is Ada?\nAda is a programming language for large and long-lived systems."
    )
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#generations-ask-actions").get_by_role("button", name="Stop")).to_be_enabled()
    live = page.locator("#generations-live section")
    expect(live.locator(".variant")).to_have_count(len(VARIANTS), timeout=180_000)
    expect(live.locator("h5")).to_contain_text("What is Ada?")
    expect(live.locator(".variant.dense")).to_contain_text("programming language")
    expect(page.locator("#generations-status")).to_contain_text("Done.", timeout=60_000)
    page.get_by_label("Question, and its context in the next line").fill("What is Ada?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#generations-status").get_by_role("alert")).to_contain_text("context")


def test_two_perplexities_stand_side_by_side_and_lead_to_questions(page: Page) -> None:
    full(page, tab="accuracy")
    table, run = page.locator("#measures"), shipped("wiki-choice")
    for title in ("Wikipedia leads", "newspaper editorials, product reviews and tweets"):
        expect(table).to_contain_text(title)
    expect(page.locator("#verdict")).to_contain_text("out-of-domain perplexity")
    expect(page.locator("#changes")).to_contain_text("simply right or wrong")
    page.locator("#changes").get_by_role("link", name="Open the stored run").click()
    expect(page.locator("#changes h4")).to_have_text("What changed: wiki-choice")
    expect(kind(page)).to_have_text("Measured")
    dense = next(item for item in run.evaluations if (item.task, item.variant) == ("wiki-choice", "dense"))
    expect(table).to_contain_text(f"{100 * dense.value:.1f} %")
    expect(table).to_contain_text("accuracy by length")
    expect(table).to_contain_text("chance 25")
    page.locator("#changes details").first.locator("summary").click()
    expect(page.locator("#changes details li").first.locator(".dense")).to_contain_text("✓")
    photographed(page, "questions-accuracy")


@pytest.mark.demo
def test_texts_of_my_own_with_labels(page: Page, tmp_path: Path) -> None:
    mine = tmp_path / "films.csv"
    mine.write_text(CSV)
    full(page, re.sub("&?evaluate(_limit)?=[^&]*", "", FAST), tab="accuracy")
    field = unfolded(page.get_by_label("Data of your own"))
    field.fill(str(tmp_path / "nothing.csv"))
    field.blur()
    expect(page).to_have_url(re.compile("data=.*nothing.csv"))
    page.locator("#apply").click()
    expect(page.locator("#status").get_by_role("alert")).to_contain_text("nothing.csv", timeout=60_000)
    expect(field).to_have_value(str(tmp_path / "nothing.csv"))
    field.fill(str(mine))
    field.blur()
    expect(page.locator("#evaluate")).to_contain_text("own")
    apply(page)
    finished(page)
    to_tab(page, "Accuracy")
    expect(page.locator("#measures")).to_contain_text("sentiment accuracy")  # own data stand beside the model's task
    expect(page.locator("#measures")).to_contain_text("own accuracy")
    expect(page.locator("#measures")).to_contain_text("4 texts")
    expect(page).to_have_url(re.compile("data=.*films.csv"))
    photographed(page, "own-accuracy")
