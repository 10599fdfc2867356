"""Sentences and formulas of a site have its numbers and shapes."""

from __future__ import annotations

import re

import pytest
from latex2mathml.converter import convert

from liar.choices import Reconstruction
from liar.report.words.site_sentences import compares, formula, reconstructions_of, stands_out
from liar.results import SiteReport
from liar.spec import RECONSTRUCTIONS
from tests.fake_atlas import tiny_atlas
from tests.fakes import OLDER, older, run_of_chain, site

CHART = tiny_atlas().sites[0]  # layers.0.attention


def with_errors(*errors: float) -> list[SiteReport]:
    return [
        site(layer, "ffn").model_copy(
            update={
                "error": {"none": error, "bias": error, "scale": error, "liar": error / 2, "least-squares": error / 4},
                "norm_aware_error": dict.fromkeys(RECONSTRUCTIONS, 0.03),
            }
        )
        for layer, error in enumerate(errors)
    ]


def test_the_worst_site_and_where_half_of_the_error_sits() -> None:
    sentence = stands_out(with_errors(0.1, 0.1, 0.1, 0.41, 0.1, 0.1), "plain", "none")
    assert sentence == (
        "Worst with none: layer 3 FFN, 0.41 of its output's energy; half of all error sits in 2 of 6 sites."
    )


def test_one_site_is_not_compared_with_others() -> None:
    assert stands_out(with_errors(0.4), "plain", "liar") == "Worst with liar: layer 0 FFN, 0.2 of its output's energy."
    assert "0.03 of its output's energy, norm-aware." in stands_out(with_errors(0.4), "norm-aware", "liar")


@pytest.mark.parametrize("sites", [[], with_errors(0.0, 0.0)])
def test_without_error_nothing_stands_out(sites: list[SiteReport]) -> None:
    assert stands_out(sites, "plain", "none") == "No site's output differs from the dense model's."


def test_a_difference_names_the_site_that_changes_most() -> None:
    sentence = compares(with_errors(0.1, 0.4, 0.0), "plain", "none", "least-squares")
    assert sentence == (
        "Largest change from none to least-squares: layer 1 FFN, 0.4 → 0.1 of its output's energy; lower at 2 of 3 sites."
    )
    assert compares(with_errors(0.1), "plain", "none", "bias") == (
        "bias leaves the error of none as it is at every site."
    )
    assert compares([], "plain", "none", "bias")


@pytest.mark.parametrize(
    ("reconstruction", "weight", "bias", "equations"),
    [
        ("none", r"\underset{24 \times 36}{W_u}", "", 0),
        ("bias", r"\underset{24 \times 36}{W_u}", r" + \mu_m W_m", 0),
        ("scale", r"\operatorname{diag}(\underset{24}{s})\,\underset{24 \times 36}{W_u}", "", 1),
        (
            "liar",
            r"(I + \underset{24 \times 12}{Q}\,\underset{12 \times 24}{P})\,\underset{24 \times 36}{W_u}",
            r" + \mu_m W_m",
            1,
        ),
        (
            "least-squares",
            r"\underset{24 \times 36}{W_u} + \underset{24 \times 12}{Q}\,\underset{12 \times 36}{W_m}",
            r" + (\mu_m - \mu_u Q)\,W_m",
            1,
        ),
    ],
)
def test_formulas_have_the_shapes_of_the_site(
    reconstruction: Reconstruction, weight: str, bias: str, equations: int
) -> None:
    first, second, *where = formula(CHART, 2, reconstruction)  # keeps two groups of three heads of four channels
    assert first == rf"W \gets {weight}"
    assert second == rf"b \gets \underset{{36}}{{b}}{bias}"
    assert len(where) == equations


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("kept", [2, 3])
def test_formulas_can_be_typeset(reconstruction: Reconstruction, kept: int) -> None:
    for line in formula(CHART, kept, reconstruction):
        assert not re.search(r"[\\<>_^]", re.sub("<[^>]+>", "", convert(line))), line


def test_a_whole_site_is_left_as_it_is() -> None:
    assert formula(CHART, 3, "liar") == (r"W \gets \underset{36 \times 36}{W}", r"b \gets \underset{36}{b}")


def test_a_reconstruction_that_an_older_result_lacks_is_said_to_be_missing() -> None:
    sites = [older(item) for item in with_errors(0.4, 0.1)]
    assert stands_out(sites, "plain", "scale") == "No error of scale is known here."
    assert compares(sites, "norm-aware", "none", "scale") == "No error of scale is known here."
    assert reconstructions_of(sites) == OLDER


def test_what_a_forecast_does_not_know_has_a_note() -> None:
    known, by_hand = with_errors(0.4, 0.1)
    by_hand = by_hand.model_copy(update={"error": {}, "norm_aware_error": {}})
    sentence = "Not known at 1 site whose units were chosen by hand."
    assert stands_out([known, by_hand], "plain", "none").endswith(sentence)
    assert stands_out([by_hand], "plain", "none") == sentence
    assert compares([known, by_hand], "plain", "none", "liar").endswith(sentence)
    assert compares([by_hand, by_hand], "norm-aware", "none", "liar").startswith("Not known at")


def test_a_site_that_went_with_its_layer_was_not_chosen_by_hand() -> None:
    sentence = stands_out(run_of_chain().sites, "plain", "none")
    assert "27 sites" in sentence
    assert "by hand" not in sentence
