"""Figures of many runs show exactly the values of the runs, and every point carries the key of its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import log10
from typing import Any

import plotly.graph_objects as go
import pytest

from liar.choices import REPAIRS
from liar.report.plots.heatmap import comparison_heatmap, error_heatmap
from liar.report.plots.masks import mask_heatmap
from liar.report.plots.metric_bars import metric_bars
from liar.report.plots.recipe_lines import on_the_same_items, tasks_of
from liar.report.plots.run_figures import COSTS, pareto_figure, pareto_front, ratio_figure
from liar.report.words.metric_sentences import beside_dense
from liar.results import Items, MaskCell, RunResult
from liar.spec import RECONSTRUCTIONS
from tests.fakes import classifier_run, gain, language_run, speed, with_values


def run(ratio: float, value: float = 42.4, **choices: Any) -> RunResult:
    """A run with the size that its ratio leaves and with ``value`` as the metric of its reconstructed model."""
    made = with_values(language_run(ratio=ratio, **choices), reconstructed=value)
    left = round(made.totals.parameters_before * (1 - ratio / 2))
    return made.model_copy(
        update={
            "evaluations": [item.model_copy(update={"stderr": 1.5}) for item in made.evaluations],
            "totals": made.totals.model_copy(update={"parameters_after": left}),
            "environment": {"dtype": "float32"},
        }
    )


def lines(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


# -- the metric over ratio ----------------------------------------------------------------------------------------------


def test_a_line_for_each_reconstruction_from_left_to_right() -> None:
    runs = [
        run(ratio, 20 + 100 * ratio, reconstruction=name)
        for ratio in (0.5, 0.2, 0.8)
        for name in ("bias", "least-squares")
    ]
    found = lines(ratio_figure(runs, "perplexity"))
    assert set(found) == {"dense 16.2", "bias", "least-squares"}
    for name in ("bias", "least-squares"):
        assert list(found[name].x) == [0.2, 0.5, 0.8]
        assert list(found[name].y) == [40, 70, 100]
        assert list(found[name].error_y["array"]) == [1.5] * 3
        assert found[name].line.color == REPAIRS[name].colour
        wanted = {item.spec.ratio: item.spec.key for item in runs if item.spec.reconstruction == name}
        assert list(found[name].customdata) == [wanted[ratio] for ratio in (0.2, 0.5, 0.8)]
    assert set(found["dense 16.2"].y) == {16.2}


def test_a_single_recipe_shows_what_was_left_without_its_repair() -> None:
    found = lines(ratio_figure([run(0.2), run(0.5)], "perplexity"))
    assert list(found["not repaired"].y) == [110.7, 110.7]
    assert list(found["least-squares"].x) == [0.2, 0.5]


def test_a_line_is_named_by_what_differs() -> None:
    runs = [run(0.5, criterion="obs", tokens=4096), run(0.5, criterion="wanda"), run(0.2, criterion="wanda")]
    assert {"obs, 4,096 tokens", "wanda, tokens by model width"} < set(lines(ratio_figure(runs, "perplexity")))


def test_many_recipes_share_the_last_line() -> None:
    runs = [run(0.5, seed=seed) for seed in range(12)] + [run(0.2, seed=11)]
    found = lines(ratio_figure(runs, "perplexity"))
    assert len(found) == 1 + 8 + 1
    assert "seed 11" in found, "the recipe with the most runs is drawn first of all"
    assert len(found["other recipes"].x) == 4
    assert sum(len(trace.customdata or ()) for trace in found.values()) == len(runs)


def test_a_text_that_somebody_wrote_is_no_markup() -> None:
    nasty = "<b>x</b>"
    drawn = ratio_figure([run(0.5, calibration=nasty), run(0.5)], "perplexity").to_json()
    assert nasty not in drawn
    assert "&lt;b&gt;" in drawn


@pytest.mark.parametrize("draw", [ratio_figure, pareto_figure])
def test_a_point_is_compared_with_dense_and_the_selected_one_stands_out(draw: Callable[..., go.Figure]) -> None:
    runs = [run(0.2), run(0.5)]
    drawn = lines(draw(runs, "perplexity", selected=runs[1].spec.key))["least-squares"]
    assert f"<br>{beside_dense(runs[1], runs[1].evaluations[2])}<br>" in drawn.hovertext[1]
    assert list(drawn.marker.line.width) == [0, 3]
    assert drawn.error_y.color == drawn.marker.color, "whiskers have the colour of their marks"


def test_perplexity_that_spans_much_has_round_numbers_on_a_log_axis() -> None:
    axis = ratio_figure([run(0.2, 20), run(0.9, 900)], "perplexity").layout.yaxis
    assert axis.type == "log"
    assert {"20", "50", "100", "200", "500"} <= set(axis.ticktext)
    assert ratio_figure([classifier_run()], "sentiment").layout.yaxis.tickformat == ".1~%"


# -- the metric against what it costs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower_is_better", "front"), [(True, [(1, 9), (2, 5), (4, 4)]), (False, [(1, 9), (3, 11), (4, 12)])]
)
def test_the_front_is_what_nothing_beats_in_both(lower_is_better: bool, front: list[tuple[float, float]]) -> None:
    points = [(4, 4), (2, 5), (3, 5), (1, 9), (3, 11), (4, 12), (4, 4)]
    assert pareto_front(points, lower_is_better=lower_is_better) == front


def test_the_dense_model_is_a_point_and_the_front_is_drawn() -> None:
    runs = [run(0.2, 20.0), run(0.5, 19.0), run(0.8, 90.0)]
    found = lines(pareto_figure(runs, "perplexity"))
    before = runs[0].totals.parameters_before
    assert (list(found["dense"].x), list(found["dense"].y)) == ([before], [16.2])
    assert list(found["Pareto front"].y) == [90.0, 19.0, 16.2], "the run in between costs more and is worse"
    assert list(found["least-squares"].customdata) == [item.spec.key for item in runs]
    assert list(found["least-squares"].x) == [item.totals.parameters_after for item in runs]


def test_bytes_follow_the_dtype() -> None:
    half = run(0.5).model_copy(update={"environment": {"dtype": "bfloat16"}})
    for item, size in ((run(0.5), 4), (half, 2)):
        found = lines(pareto_figure([item], "perplexity", "bytes"))
        assert list(found["least-squares"].x) == [item.totals.parameters_after * size]


def test_time_is_relative_to_the_dense_model_in_the_same_turns() -> None:
    """Seconds not measured in turns are not comparable: the machine's speed changes from hour to hour."""
    apart = run(0.2).model_copy(update={"speeds": [speed("dense", 0.02), speed("reconstructed", 0.0125)]})
    timed = run(0.5).model_copy(update={"gains": [gain("dense", "reconstructed", 1.25, 1.6, 2.0)]})
    found = lines(pareto_figure([apart, timed], "perplexity", "time"))
    assert (list(found["least-squares"].x), list(found["dense"].x)) == ([1 / 1.6], [1.0])
    whiskers = found["least-squares"].error_x
    assert (list(whiskers.array), list(whiskers.arrayminus)) == ([1 / 1.25 - 1 / 1.6], [1 / 1.6 - 0.5])
    assert "62 % of the time of the dense model" in found["least-squares"].hovertext[0]
    assert "in turns" in pareto_figure([apart], "perplexity", "time").to_json()


# -- masks of one criterion under the repairs of another ----------------------------------------------------------------


def cell(criterion: str, reconstruction: str, value: float | None = 40.0, task: str = "perplexity") -> MaskCell:
    measured = {"task": task, "value": value, "stderr": 2.0, "n": 20} if value is not None else {}
    return MaskCell.model_validate(
        {"criterion": criterion, "reconstruction": reconstruction, "error": 0.125, **measured}
    )


def test_cells_stand_where_they_belong_with_their_figures() -> None:
    cells = [cell("obs", "bias", 40), cell("obs", "liar", 30), cell("wanda", "bias", 50)]
    (grid,) = mask_heatmap(cells, ("wanda", "obs"), ("bias", "liar")).data
    assert [list(map(bool, line)) for line in grid.text] == [[True, False], [True, True]]
    assert grid.text[1][1].startswith("<b>30.0</b><br>± 2.0<br>error 0.12")
    assert grid.z[1][1] > grid.z[1][0] > grid.z[0][0], "deeper is better"
    assert grid.z[0][1] is None


def test_accuracy_is_better_when_it_is_higher_and_errors_stand_in_for_a_metric() -> None:
    cells = [cell("obs", "bias", 0.8, "sentiment"), cell("obs", "liar", 0.9, "sentiment")]
    (grid,) = mask_heatmap(cells, ("obs",), ("bias", "liar")).data
    assert grid.z[0][1] > grid.z[0][0]
    assert "90.0 %" in grid.text[0][1]
    (grid,) = mask_heatmap([cell("obs", "bias", None)], ("obs",), ("bias",)).data
    assert grid.z[0][0] == pytest.approx(-log10(0.125))


# -- two runs -----------------------------------------------------------------------------------------------------------


def test_blue_is_where_the_second_run_is_better() -> None:
    first, second = run(0.5, reconstruction="none"), run(0.5)
    figure = comparison_heatmap(first, second)
    (grid,), colours = figure.data, figure.layout.coloraxis
    assert len(grid.z[0]) == len(first.sites)
    assert grid.z[0][0] == pytest.approx(log10(4)), "none has four times the error of least-squares"
    assert colours.cmax == -colours.cmin == pytest.approx(log10(4))
    assert colours.colorscale[-1][1] == "#0072b2"
    assert grid.customdata[0][3][1] == "layers.3.ffn"


# -- all figures --------------------------------------------------------------------------------------------------------


def test_tasks_are_those_of_reconstructed_models() -> None:
    unfinished = run(0.5).model_copy(update={"evaluations": run(0.5).evaluations[:2]})
    assert tasks_of([unfinished]) == []
    assert tasks_of([classifier_run(), run(0.5)]) == ["sentiment", "perplexity"]


FIGURES = [
    ratio_figure([], "perplexity"),
    ratio_figure([run(0.2), run(0.5)], "perplexity"),
    *(pareto_figure([run(0.2), classifier_run()], "perplexity", cost) for cost in COSTS),
    mask_heatmap([], ("obs",), ("bias",)),
    mask_heatmap([cell("obs", "bias")], ("obs", "wanda"), RECONSTRUCTIONS),
    comparison_heatmap(run(0.5), classifier_run()),
    comparison_heatmap(run(0.5), run(0.2)),
    error_heatmap(language_run().sites),
    metric_bars(classifier_run()),
]


@pytest.mark.parametrize("figure", FIGURES, ids=range(len(FIGURES)))
def test_frames_suit_the_page(figure: go.Figure) -> None:
    layout = figure.layout
    assert go.Figure(figure.to_dict()), "figures are drawn without validation"
    assert json.loads(figure.to_json())
    assert layout.margin.t >= 48, "the frame's first 48 pixels belong to the component's label"
    assert layout.height, "without a height the page jumps when the figure arrives"
    assert layout.width is None, "a fixed width does not fit 390 pixels"
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)", "dark mode shines through"


def test_only_what_was_measured_on_the_same_items_stands_on_one_axis() -> None:
    """Perplexities of windows of other lengths are not comparable, those of the dense model included."""
    longer = [item.model_copy(update={"sequence_length": 1_024}) for item in run(0.3).evaluations]
    long = run(0.3, evaluate_length=1_024).model_copy(update={"evaluations": longer})
    runs: list[Any] = [run(0.2), long, run(0.5)]
    assert on_the_same_items(runs, "perplexity") == [runs[0], runs[2]]
    assert on_the_same_items(runs, "perplexity", long.spec.key) == [long]
    assert on_the_same_items(runs, "perplexity", "a run that is not among them") == [runs[0], runs[2]]
    assert on_the_same_items(runs, "topic") == []
    for made, digest in zip(runs, "aba", strict=True):
        made.evaluations[:] = [item.model_copy(update={"items": Items(digest=digest)}) for item in made.evaluations]
    assert on_the_same_items(runs, "perplexity") == [runs[0], runs[2]]
