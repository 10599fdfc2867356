"""The accuracy panel: the figures of the result, the changed texts in their groups, and a sentence if there are none."""

from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, fromstring

import gradio as gr
import pytest

from components.address import read_address
from components.measured.accuracy import AccuracyPanel
from liar.results import VARIANTS, RunResult
from tests.fakes import classifier_run, language_run, quantized_run, with_values


def parsed(markup: str) -> Element:
    """An HTML fragment in an element; fails if tags are not closed in order."""
    return fromstring(f"<div>{markup}</div>")


def pieces(markup: str) -> list[str]:
    """The texts of an HTML fragment."""
    return list(parsed(markup).itertext())


def build(run: RunResult | None, *kept: RunResult) -> AccuracyPanel:
    stored = {run.spec.key: run for run in kept}
    services: Any = SimpleNamespace(jobs=None, store=SimpleNamespace(load=stored.get))
    with gr.Blocks():
        return AccuracyPanel(services, services, run)


@pytest.fixture
def panel() -> AccuracyPanel:
    return build(None)


def table(panel: AccuracyPanel, run: RunResult) -> list[str]:
    return pieces(panel.show(run.spec, run)[panel.table])


def changes(panel: AccuracyPanel, run: RunResult) -> Element:
    return parsed(panel.show(run.spec, run)[panel.changes])


def test_the_table_holds_every_figure_with_its_unit(panel: AccuracyPanel) -> None:
    assert table(panel, classifier_run())[6:-2] == [
        "sentiment accuracy",
        "1,200 texts",
        *("dense", "86.3 %", "± 1.0 %", "100 %", "—"),
        *("pruned", "80.8 %", "± 1.0 %", "94 %", "—"),
        *("reconstructed", "84.7 %", "± 1.0 %", "98 %", "71 %"),
    ]
    assert {"42.4", "± 2.1", "20 windows of 256 tokens", "2.6 x dense", "72 %"} <= set(table(panel, language_run()))


def test_a_share_that_may_be_chance_is_no_figure(panel: AccuracyPanel) -> None:
    found = table(panel, with_values(classifier_run(), 0.861, 0.849, 0.853))
    assert "within the error" in found
    assert "33 %" not in found
    assert any("without single answers" in piece for piece in found)


def test_quantized_models_follow_the_models_they_were_made_from(panel: AccuracyPanel) -> None:
    found = table(panel, quantized_run())
    rows = [piece for piece in found if piece.split(" ")[0] in VARIANTS]
    assert rows == ["dense", "dense int8", "pruned", "reconstructed", "reconstructed int8"]
    assert "42.9" in found
    assert any(piece.startswith("Int8 weights: +0.50 perplexity on the dense model") for piece in found)
    assert not any("nt8" in piece for piece in table(panel, language_run()))


def test_each_group_shows_its_texts_with_label_and_answers(panel: AccuracyPanel) -> None:
    page = changes(panel, classifier_run())
    texts = list(page.itertext())
    assert [piece for piece in texts if re.search(r": \d+ text", piece)] == [
        "Broken by pruning: 2 texts",
        "Mended by the repair: 1 text",
        "Wrong after the repair: 2 texts",
    ]
    first = texts.index("A quiet marvel.")
    assert texts[first + 1 : first + 9] == [
        *("label", "positive"),
        *("dense", "✓ positive"),
        *("pruned", "✗ negative, wrong"),
        *("reconstructed", "✓ positive"),
    ]
    assert len(page.findall(".//li")) == 2 + 1 + 2


@pytest.mark.parametrize(
    ("task", "licence", "author", "link"),
    [
        ("sentiment", "MIT", "Hutto", "https://github.com/cjhutto/vaderSentiment/"),
        ("topic", "CC BY-SA 4.0", "Wikipedia", "https://creativecommons.org/licenses/by-sa/4.0/"),
    ],
)
def test_shown_texts_have_their_authors_and_licence(
    panel: AccuracyPanel, task: str, licence: str, author: str, link: str
) -> None:
    run = classifier_run()
    run = run.model_copy(
        update={
            "evaluations": [item.model_copy(update={"task": task}) for item in run.evaluations],
            "changes": [item.model_copy(update={"task": task}) for item in run.changes],
        }
    )
    markup = panel.show(run.spec, run)[panel.changes]
    groups = [part.partition("</details>")[0] for part in markup.split("<details>")[1:]]
    assert len(groups) == 3
    for group in groups:
        assert group.count(f'href="{link}') == 1
        assert author in group
        assert f">{licence}</a>" in group
    assert author not in panel.show(run.spec, run.model_copy(update={"changes": []}))[panel.changes]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (language_run(), "Nothing measured here is simply right or wrong"),
        (classifier_run().model_copy(update={"changes": []}), "No changed text is stored"),
        (classifier_run().model_copy(update={"evaluations": []}), "No task was measured"),
    ],
    ids=["perplexity", "no changes", "no evaluation"],
)
def test_a_run_without_changes_gives_the_reason(panel: AccuracyPanel, run: RunResult, sentence: str) -> None:
    page = changes(panel, run)
    assert any(piece.startswith(sentence) for piece in page.itertext())
    assert page.find(".//li") is None


def test_a_run_of_text_alone_leads_to_questions_and_to_the_run_that_asked_them(panel: AccuracyPanel) -> None:
    run = language_run()
    alone = changes(panel, run)
    assert any("choose wiki-choice (second sentences of articles)" in piece for piece in alone.itertext())
    assert alone.find(".//a") is None
    asked = run.model_copy(
        update={"spec": run.spec.model_copy(update={"evaluate": (*run.spec.evaluate, "wiki-choice")})}
    )
    markup = build(None, asked).show(run.spec, run)
    [link] = re.findall(r'href="\?([^"]*)"', str(markup))
    spec, view, complaint = read_address(parse_qsl(unescape(link)))
    assert (spec, view.tab, complaint) == (asked.spec, "accuracy", None)
