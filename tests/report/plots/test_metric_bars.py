"""Bars show exactly the metrics of the result."""

from __future__ import annotations

import plotly.graph_objects as go

from liar.report.plots.metric_bars import metric_bars
from liar.tasks.registry import TASKS
from tests.fakes import language_run, quantized_run


def test_bars_show_value_error_and_n() -> None:
    run = language_run()
    figure = metric_bars(run)
    bar = next(trace for trace in figure.data if isinstance(trace, go.Bar))
    assert list(bar.x) == [item.value for item in run.evaluations]
    assert list(bar.error_x["array"]) == [item.stderr for item in run.evaluations]
    assert "20 windows of 256 tokens" in figure.to_json()
    assert all("20" in text for text in bar.hovertext)


def test_rounded_models_have_bars_beside_those_they_were_made_from() -> None:
    bar = next(trace for trace in metric_bars(quantized_run()).data if isinstance(trace, go.Bar))
    assert list(bar.y) == ["dense", "dense int8", "pruned", "reconstructed", "reconstructed int8"]
    assert len(set(bar.marker.color)) == 5
    plain, wider = metric_bars(language_run()).layout, metric_bars(quantized_run()).layout
    assert (wider.height, wider.margin.l) > (plain.height, plain.margin.l)


def test_a_run_that_measured_one_variant_of_many_tasks_has_bars() -> None:
    first = language_run().evaluations[0]
    tasks = [first.model_copy(update={"task": task.name}) for task in TASKS]
    bars = metric_bars(language_run().model_copy(update={"evaluations": tasks}))
    assert [list(bar.y) for bar in bars.data] == [["dense"]] * len(TASKS)


def test_a_run_that_measured_nothing_has_a_figure_with_a_note() -> None:
    figure = metric_bars(language_run().model_copy(update={"evaluations": []}))
    assert "No metric" in figure.to_json()


def test_a_title_fits_a_narrow_page_and_has_room_above_the_bars() -> None:
    run = language_run()
    long = [item.model_copy(update={"separator": "end"}) for item in run.evaluations]
    figure = metric_bars(run.model_copy(update={"evaluations": long}))
    lines = figure.layout.annotations[0].text.split("<br>")
    assert len(lines) == 3
    assert all(len(line) <= 52 for line in lines), "330 pixels of 13-pixel letters"
    plain = metric_bars(run).layout
    assert figure.layout.margin.t - plain.margin.t == figure.layout.height - plain.height == 17
