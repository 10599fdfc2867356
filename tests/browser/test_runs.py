"""The table of all runs: open one, compare two, download one, delete one."""

from __future__ import annotations

import re

from playwright.sync_api import Dialog, Page, expect

from liar.results import RunResult
from liar.store import RunStore
from tests.browser.conftest import Server, drawn, full, redrawn, to_tab
from tests.fakes import classifier_run

TOPIC = "demo/minilm-topic"


def choose(page: Page, selector: str, words: str) -> None:
    """Choose the first run with ``words`` in its label from the list at ``selector``, which has every run of the table."""
    page.locator(f"{selector} input").click()
    expect(page.get_by_role("option")).to_have_count(page.locator("#runs-table tbody tr").count())
    page.get_by_role("option", name=words).first.click()


def test_a_row_opens_its_run_in_every_panel(page: Page) -> None:
    full(page, tab="accuracy")
    expect(page.locator("#metrics .barlayer .point")).to_have_count(6)  # two perplexities
    before = drawn(page, "#metrics")
    to_tab(page, "Runs")
    mine = page.locator("#runs-table tr").filter(has_text=TOPIC).filter(has_text="50 % of heads and neurons")
    mine.get_by_role("button").click()
    expect(mine).to_have_attribute("aria-current", "true")
    expect(page.locator("#verdict")).to_contain_text("topic accuracy")
    expect(page).to_have_url(re.compile("model=demo%2Fminilm-topic"))
    expect(page.locator("#model input")).to_have_value(re.compile("MiniLM"))
    to_tab(page, "Generations")
    expect(page.locator("#generations-stored")).to_contain_text("orchestra")
    to_tab(page, "Accuracy")
    expect(page.locator("#measures")).to_contain_text("topic accuracy")
    redrawn(page, "#metrics", before)


def test_the_filter_leaves_the_runs_that_have_its_words(page: Page) -> None:
    full(page, tab="runs")
    rows = page.locator("#runs-table tbody tr:visible")
    listed = rows.count()
    page.get_by_label("Filter").fill("topic 50 %")
    expect(rows).not_to_have_count(listed)
    for words in rows.all_inner_texts():
        assert TOPIC in words
        assert "50 %" in words
    rows.first.get_by_role("button").click()
    expect(page).to_have_url(re.compile("model=demo%2Fminilm-topic"))
    expect(rows.first).to_have_attribute("aria-current", "true")
    expect(rows.filter(has_text="sentiment")).to_have_count(0)  # the list drawn anew is filtered too
    page.get_by_label("Filter").fill("no such run")
    expect(page.get_by_text("No run has these words")).to_be_visible()


def test_runs_of_ones_own_are_deleted_and_compared_and_a_shipped_one_is_not_deleted(page: Page, server: Server) -> None:
    store = RunStore(server.runs)
    own = {seed: classifier_run(seed=seed, criterion="random", ratio=seed / 100) for seed in (77, 78, 79)}
    files = {seed: store.save(run) for seed, run in own.items()}
    rows = {seed: page.locator(f"#runs-table button[data-key='{run.spec.key}']") for seed, run in own.items()}
    full(page, tab="runs")
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", answer)
    rows[77].click()
    expect(page).to_have_url(re.compile("seed=77"))
    page.get_by_role("button", name="Delete run A").click()
    expect(page.locator("#runs-said")).to_contain_text("deleted")
    assert len(asked) == 1
    expect(rows[77]).to_have_count(0)
    assert not files[77].exists()
    choose(page, "#run-a", TOPIC)
    expect(page.get_by_role("button", name="Delete run A")).to_be_hidden()

    choose(page, "#run-a", "78 % of heads and neurons: random")
    choose(page, "#run-b", "79 % of heads and neurons: random")
    compared = page.locator("#runs-comparison")
    expect(compared.get_by_role("row").filter(has_text="seed").get_by_role("cell")).to_have_text(["78", "79"])
    expect(compared.get_by_role("region", name="Metrics that both measured").locator("tbody tr")).to_have_count(3)
    expect(page.locator("#runs-heatmap .heatmaplayer .hm").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download run A (JSON)").click()
    assert RunResult.model_validate_json(download.value.path().read_text()).spec.seed == 78

    files[79].unlink()  # as another visitor may do it
    rows[79].click()
    expect(page.locator("#status [role=alert]")).to_contain_text("not kept here any more")
    expect(page.locator("#verdict h2")).to_be_visible()
