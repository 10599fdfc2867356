"""The page to explore a run on: one small file that can run only its own script; the browser test checks its numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from liar.errors import InvalidSpecError
from liar.explore.atlas import Atlas
from liar.report.pages.html import html_report
from liar.spec import ALLOCATIONS, RECONSTRUCTIONS
from tests.fakes import language_run
from tests.report.test_html import NASTY, Document
from tests.shipped import shipped_pair

MINILM = "demo/minilm-sentiment"


@pytest.mark.parametrize("model", [MINILM, "demo/smollm2-135m"])
def test_it_is_small_also_with_every_criterion(model: str) -> None:
    run, atlas = shipped_pair(model)
    page, alone = html_report(run, atlas, atlas.facts.criteria), html_report(run, atlas)
    assert len(alone.encode()) < min(400_000, len(page.encode()))
    assert len(page.encode()) < 1_500_000
    assert set(_data(page)["criteria"]) == set(atlas.facts.criteria)


def _data(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def test_only_its_own_script_and_style_may_run_and_nothing_is_loaded() -> None:
    source = html_report(*shipped_pair(MINILM))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', source)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert Document(source).loads_nothing()


def test_text_of_others_stays_text() -> None:
    run, atlas = shipped_pair(MINILM)
    nasty = run.model_copy(update={"warnings": [NASTY], "spec": run.spec.model_copy(update={"model": NASTY})})
    clean, document = Document(html_report(run, atlas)), Document(html_report(nasty, atlas))
    assert document.count("script") == clean.count("script") == 2
    assert document.count("img") == 0
    assert NASTY in document.text


def test_without_a_script_the_run_is_there_as_a_picture_and_a_table() -> None:
    run, atlas = shipped_pair(MINILM)
    page = html_report(run, atlas)
    document, data = Document(page), _data(page)
    assert document.count("rect") == len(run.sites) * 5
    assert all(f"{site.error['least-squares']:.4f}" in document.text for site in run.sites)
    assert "Scripts are off" in document.text
    assert [site["name"] for site in data["sites"]] == [site.name for site in run.sites]
    assert data["run"]["after"] == run.totals.parameters_after


def test_an_older_run_lacks_some_errors_and_not_their_columns() -> None:
    run, atlas = shipped_pair(MINILM)
    older = [site.model_copy(update={"error": {"none": site.error["none"]}}) for site in run.sites]
    document = Document(html_report(run.model_copy(update={"sites": older}), atlas))
    assert document.count("rect") == len(run.sites)
    assert document.count("option") == len(ALLOCATIONS) + len(RECONSTRUCTIONS) + len(run.sites)


def test_units_chosen_by_hand_are_noted() -> None:
    run, atlas = shipped_pair(MINILM)
    edited = run.model_copy(update={"spec": run.spec.model_copy(update={"edits": ("layers.0.ffn:ratio=0",)})})
    assert "Forecasts leave that out" in html_report(edited, atlas)
    assert "Forecasts leave that out" not in html_report(run, atlas)


@pytest.mark.parametrize("criterion", ["custom:my_own", "magnitude"])
def test_a_criterion_without_curves_is_one_sentence(criterion: str) -> None:
    run, atlas = shipped_pair(MINILM)
    lacking = Atlas(atlas.facts.model_copy(update={"criteria": ["obs"]}), atlas.arrays)
    other = run.model_copy(update={"spec": run.spec.model_copy(update={"criterion": criterion})})
    with pytest.raises(InvalidSpecError, match=r"another criterion|apply the recipe"):
        html_report(other, lacking)
    with pytest.raises(InvalidSpecError, match=r"another criterion|apply the recipe"):
        html_report(run, atlas, [criterion] if criterion != "magnitude" else ["nothing"])


def test_a_run_that_measured_nothing_can_be_explored() -> None:
    _, atlas = shipped_pair("demo/smollm2-135m")
    bare = language_run(layers=30).model_copy(update={"evaluations": [], "generations": []})
    assert "No metric was measured" in html_report(bare, atlas)
