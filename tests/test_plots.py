"""Figures hold exactly the figures of the result, on one scale, and survive strange runs."""

from __future__ import annotations

import json
from math import log10

import plotly.graph_objects as go
import pytest

from liar.plots import DECADES, error_heatmap, metric_bars
from liar.results import RunResult
from liar.spec import RECONSTRUCTIONS
from tests.fakes import classifier_run, language_run


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if isinstance(trace, go.Heatmap)]


@pytest.mark.parametrize("run", [language_run(), classifier_run()], ids=["llama", "bert"])
def test_every_error_is_drawn_on_one_logarithmic_scale(run: RunResult) -> None:
    traces = heatmaps(error_heatmap(run.sites))
    assert {trace.coloraxis for trace in traces} == {"coloraxis"}
    drawn = sorted(value for trace in traces for line in trace.z for value in line)
    expected = sorted(log10(site.error[name]) for site in run.sites for name in RECONSTRUCTIONS)
    assert drawn == pytest.approx(expected)


def test_the_scale_ends_at_the_largest_error_and_two_decades_below() -> None:
    """One site with next to no error must not take the colours from all others."""
    run = language_run()
    tiny = run.sites[0].model_copy(update={"error": dict.fromkeys(RECONSTRUCTIONS, 1e-5)})
    axis = error_heatmap([tiny, *run.sites[1:]]).layout.coloraxis
    largest = max(value for site in run.sites[1:] for value in site.error.values())
    assert axis.cmax == pytest.approx(log10(largest))
    assert axis.cmin == pytest.approx(log10(largest) - DECADES)
    assert axis.colorbar.ticktext[axis.colorbar.tickvals.index(axis.cmin)].startswith("≤")


def test_hover_tells_site_units_and_error() -> None:
    run = language_run()
    figure = error_heatmap(run.sites)
    said = json.dumps([list(map(list, trace.customdata)) for trace in heatmaps(figure)])
    for site in run.sites:
        assert f"{site.name}<" in said
    assert "768 of 1,536 neurons kept" in said
    assert "least-squares" in said


@pytest.mark.parametrize("error", [0.0, 0.25, 1e-9, 1e6])
def test_a_run_with_one_error_everywhere_has_a_finite_scale(error: float) -> None:
    sites = [site.model_copy(update={"error": dict.fromkeys(RECONSTRUCTIONS, error)}) for site in language_run().sites]
    axis = error_heatmap(sites).layout.coloraxis
    assert axis.cmin < axis.cmax


def test_no_site_at_all_is_an_empty_figure() -> None:
    assert json.loads(error_heatmap([]).to_json())


def test_bars_show_value_error_and_n() -> None:
    run = language_run()
    figure = metric_bars(run)
    bar = next(trace for trace in figure.data if isinstance(trace, go.Bar))
    assert list(bar.x) == [item.value for item in run.evaluations]
    assert list(bar.error_x["array"]) == [item.stderr for item in run.evaluations]
    assert "20 windows of 256 tokens" in figure.to_json()
    assert all("20" in text for text in bar.hovertext)


def test_a_run_that_measured_nothing_says_so() -> None:
    figure = metric_bars(language_run().model_copy(update={"evaluations": []}))
    assert "No metric" in figure.to_json()


@pytest.mark.parametrize("figure", [error_heatmap(language_run().sites), metric_bars(classifier_run())])
def test_frames_suit_the_page(figure: go.Figure) -> None:
    layout = figure.layout
    assert layout.margin.t >= 48, "the frame's first 48 pixels belong to the component's label"
    assert layout.height, "without a height the page jumps when the figure arrives"
    assert layout.width is None, "a fixed width does not fit 390 pixels"
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)", "dark mode shines through"
