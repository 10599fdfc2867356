"""The claims of the page of findings: each is true of the shipped runs, beyond the error of its figures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from liar.course.claims import Claim, claims
from liar.course.figures import Shelf
from liar.statistics.compare import difference
from tests.shipped import shipped_run

SHELF = Shelf()
CLAIMS = claims(SHELF)
_FIGURE = re.compile(r"\d[\d,]*\.\d+")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_the_runs_bear_it_out(claim: Claim) -> None:
    assert claim.holds
    assert claim.leads or claim.ties


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_it_is_one_sentence_on_a_stored_run(claim: Claim) -> None:
    assert claim.sentence.endswith(".")
    assert ". " not in claim.sentence
    assert SHELF.ran(**claim.spec.model_dump()).spec == claim.spec


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_its_figures_are_those_of_the_bars(claim: Claim) -> None:
    shown = {number for bar in claim.bars for number in _FIGURE.findall(bar.figure.words)}
    said = _FIGURE.findall(claim.sentence)
    assert len(shown.intersection(said)) == len(set(said)) or "points" in claim.sentence
    assert all((bar.figure.stderr or 0) > 0 for bar in claim.bars)


def test_there_are_ten_with_titles_of_their_own() -> None:
    assert len({claim.title for claim in CLAIMS}) == 10


def test_a_claim_within_its_error_does_not_hold() -> None:
    claim = next(each for each in CLAIMS if each.leads and each.ties)
    assert not replace(claim, leads=(0.9,)).holds
    assert not replace(claim, leads=(-5.0,)).holds
    assert not replace(claim, ties=(-1.1,)).holds


def test_a_lead_is_counted_in_paired_standard_errors() -> None:
    items = {item.variant: item for item in shipped_run("demo/minilm-match").evaluations}
    found = difference(items["pruned"], items["reconstructed"])
    assert found.stderr
    assert CLAIMS[0].leads == pytest.approx((found.change / found.stderr,))
