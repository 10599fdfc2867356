"""The page of findings: ten claims, each with a way into the page and into the study, and nothing from elsewhere."""

from __future__ import annotations

import re
from html import unescape
from unittest.mock import Mock

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from liar.course.figures import Shelf
from liar.errors import StorageError
from liar.report.pages.interactive import content_hash
from liar.spec import PruneSpec
from server import findings
from server.findings import FINDINGS, findings_page
from server.reading import study_page

CLIENT = TestClient(Starlette(routes=FINDINGS), base_url="http://page")


def test_ten_claims_are_served() -> None:
    answer = CLIENT.get("/findings")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert re.findall(r"<h(\d)>", answer.text) == ["1", *["2"] * 10]
    assert answer.text.count("<figure>") == answer.text.count("<figcaption>") == answer.text.count("<table") == 10


def test_every_link_leads_to_a_stored_run_or_a_question_of_the_study() -> None:
    shelf, study = Shelf(), study_page()
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', findings_page())]
    assert links[:3] == ["./", "course/", "study"]
    for link, question in zip(links[3::2], links[4::2], strict=True):
        spec = PruneSpec.from_query(link.removeprefix("./?"))
        assert shelf.ran(**spec.model_dump()).spec == spec
        assert f"<a id='{question.removeprefix('study#')}'>" in study


def test_all_of_it_is_served_by_the_page_itself() -> None:
    page = findings_page()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert f"style-src '{content_hash(style)}'" in page
    assert "IBM Plex Sans" in style
    assert all(address.startswith("static/fonts/") for address in re.findall(r"url\('([^']+)'\)", style))
    assert "<script" not in page
    assert "://" not in page


def test_a_claim_that_its_figures_do_not_bear_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings.claims(Shelf())
    doubtful = Mock(wraps=found[0], holds=False)
    monkeypatch.setattr(findings, "claims", lambda _: [doubtful, *found[1:]])
    page = findings_page.__wrapped__()
    assert found[0].title not in page
    assert page.count("<h2>") == 9


def test_a_run_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = StorageError("The run of a claim does not come with this package; install it anew.")
    monkeypatch.setattr(findings, "findings_page", Mock(side_effect=missing))
    answer = CLIENT.get("/findings")
    assert (answer.status_code, answer.text.count(".")) == (503, 1)
