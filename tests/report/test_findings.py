"""Sentences on what a run found beside its metrics; int8 copies differ by no more than their standard errors say."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from liar.errors import InvalidSpecError
from liar.explore.forecast import forecast
from liar.report.pages.html import html_report
from liar.report.plots.heatmap import layer_runs
from liar.report.words.findings import findings, quantizations, what_went
from liar.report.words.sentences import recipe, short_recipe, verdict
from liar.results import removed_layers
from tests.fake_atlas import tiny_atlas
from tests.fakes import classifier_run, language_run, quantized_run, run_of_layers, with_values


def test_a_changed_gain_is_one_sentence() -> None:
    assert findings(language_run()) == findings(language_run().model_copy(update={"attenuation": 1.0})) == []
    (sentence,) = findings(language_run().model_copy(update={"attenuation": 0.9286}))
    assert sentence.startswith("The gain of the last norm is 0.93 times the dense one")


def test_costs_and_savings_are_stated() -> None:
    assert quantizations(quantized_run()) == [
        "Int8 weights: +0.50 perplexity on the dense model and +0.50 on the reconstructed one, both within the standard "
        "errors; 99 % of what the repair recovered remains.",
        "They take 220 instead of 538 MB of memory in the dense model and 179 instead of 377 MB in the smaller one; "
        "timed in turns, reading takes 1.15 times as long in the first and as long as before in the second.",
    ]


@pytest.mark.parametrize(
    ("dense", "reconstructed", "words"),
    [
        (15.9, 110.7, "-0.30 perplexity on the dense model and +68.30 on the reconstructed one, the first within"),
        (20.0, 42.4, "+3.80 perplexity on the dense model and +0.00 on the reconstructed one, the second within"),
        (20.0, 80.0, "both beyond the standard errors; 45 % of what the repair recovered remains."),
        (16.2, 120.0, "-14 % of what the repair recovered"),
    ],
)
def test_a_cost_is_measured_by_its_standard_error(dense: float, reconstructed: float, words: str) -> None:
    first, _ = quantizations(quantized_run(dense_int8=dense, reconstructed_int8=reconstructed))
    assert words in first


def test_what_was_not_measured_has_no_sentence() -> None:
    assert quantizations(language_run()) == quantizations(classifier_run()) == []
    untimed = quantized_run().model_copy(update={"gains": []})
    assert quantizations(untimed)[1].endswith("in the smaller one.")


def test_a_repair_that_gave_back_nothing_has_nothing_to_lose() -> None:
    run = quantized_run()
    first, _ = quantizations(with_values(run, reconstructed=130, reconstructed_int8=130))
    assert "recovered" not in first
    bare = run.model_copy(update={"spec": run.spec.model_copy(update={"reconstruction": "none"})})
    assert "on the pruned one" in quantizations(bare)[0]
    assert "recovered" not in quantizations(bare)[0]


# -- whole layers ----------------------------------------------------------------------------------------------------------


def test_layers_that_went_are_named() -> None:
    run = run_of_layers()
    assert removed_layers(run.sites) == list(range(13, 19))
    assert verdict(run).startswith("6 of 30 layers gone: perplexity 16.2 → 110.7, repaired 42.4")
    words = what_went(run.sites, "least-squares")
    assert words.startswith("Layers 13 to 18 went, and layer 12 replaces them")
    assert "0.077, and 0.22 without the patch" in words
    assert findings(run)[0] == words
    assert "nothing replaces them" in what_went(run.sites, "none")
    assert recipe(run.spec).startswith("demo/smollm2-135m: 20 % of the layers, one run of layers, least-squares")
    assert short_recipe(run.spec) == "20 % of layers: least-squares"
    nothing = run.model_copy(update={"sites": language_run().sites})
    assert not removed_layers(nothing.sites)
    assert what_went(nothing.sites, "none") == "No layer went: the ratio is nearest to none."
    assert not any("went" in words for words in findings(language_run()))


def test_the_map_has_every_run_and_outlines_the_one_that_went() -> None:
    run = run_of_layers()
    figure = go.Figure(layer_runs(run.tried, removed_layers(run.sites)).to_dict())  # which validates it
    (drawn,) = figure.data
    assert list(drawn.x) == list(range(1, 30))
    assert list(drawn.y) == [1, 2, 3, 4, 5, 6]
    cells = {
        (first, length): drawn.customdata[row][column][0]
        for row, length in enumerate(drawn.y)
        for column, first in enumerate(drawn.x)
    }
    assert cells[13, 6] == "layers 13 to 18: error 0.06"
    assert cells[4, 1] == "layer 4: error 0.019"
    assert sum(value is not None for line in drawn.z for value in line) == len(run.tried)
    shape = figure.layout.shapes[0]
    assert (shape.x0, shape.x1, shape.y0, shape.y1) == (12.5, 13.5, 5.5, 6.5)
    go.Figure(layer_runs([]).to_dict())


def test_the_report_speaks_of_layers() -> None:
    page = html_report(run_of_layers())
    assert "Error of every run of layers" in page
    assert "The mask is the same in all strips" not in page
    assert "Error of every run of layers" not in html_report(language_run())


def test_curves_know_nothing_of_layers() -> None:
    run = run_of_layers()
    for make in (lambda: forecast(run.spec, tiny_atlas()), lambda: html_report(run, tiny_atlas())):
        with pytest.raises(InvalidSpecError, match="of heads and neurons"):
            make()
