"""The heatmap shows exactly the errors of the sites, on one scale, in every view, also for unusual runs."""

from __future__ import annotations

import json
from itertools import product
from math import log10
from typing import Any, get_args

import plotly.graph_objects as go
import pytest

from liar.explore.forecast import forecast
from liar.report.plots.heatmap import DECADES, error_heatmap
from liar.report.view import SHOWS, Colours, Reported, Scale, View
from liar.results import RunResult
from liar.spec import RECONSTRUCTIONS, PruneSpec
from tests.fake_atlas import tiny_atlas
from tests.fakes import OLDER, classifier_run, language_run, older, site

CHOICES = product(SHOWS, get_args(Reported), get_args(Scale), get_args(Colours))
VIEWS = [View(**dict(zip(("show", "weighting", "scale", "colours"), each, strict=True))) for each in CHOICES]


def drawn(figure: go.Figure) -> dict[str, list[float]]:
    """Values by name of the site, one for each strip."""
    found: dict[str, list[float]] = {}
    for trace in figure.data:
        for values, cells in zip(trace.z, trace.customdata, strict=True):
            for value, (_, name) in zip(values, cells, strict=True):
                found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("run", [language_run(), classifier_run()], ids=["llama", "bert"])
def test_every_error_is_drawn_on_one_logarithmic_scale(run: RunResult) -> None:
    figure = error_heatmap(run.sites)
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert drawn(figure) == {
        site.name: pytest.approx([log10(site.error[name]) for name in RECONSTRUCTIONS]) for site in run.sites
    }


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.show}-{view.weighting}-{view.scale}")
@pytest.mark.parametrize("sites", [classifier_run().sites, []], ids=["bert", "nothing"])
def test_plotly_takes_every_view(view: View, sites: list[Any]) -> None:
    """Figures are drawn without validation for speed, so a misspelt property would be found only here."""
    figure = error_heatmap(sites, view.changed(site="layers.1.ffn"))
    assert go.Figure(figure.to_dict())
    assert json.loads(figure.to_json())


def test_one_strip_has_the_values_and_colours_it_has_among_all() -> None:
    run = language_run()
    every = error_heatmap(run.sites)
    one = error_heatmap(run.sites, View(show="liar"))
    assert len(one.data) == 1
    assert list(one.data[0].z[0]) == list(every.data[RECONSTRUCTIONS.index("liar")].z[0])
    axes = [figure.layout.coloraxis for figure in (one, every)]
    assert (axes[0].cmin, axes[0].cmax) == (axes[1].cmin, axes[1].cmax)


def test_a_difference_is_centred_and_has_its_unit() -> None:
    worse = site(0, "ffn").model_copy(update={"error": {"none": 0.4, "bias": 0.5, "liar": 0.2, "least-squares": 0.1}})
    ratio = error_heatmap([worse], View(show="none-bias", scale="log", colours="fit"))
    change = error_heatmap([worse], View(show="none-bias", scale="linear", colours="fit"))
    assert drawn(ratio)["layers.0.ffn"] == pytest.approx([log10(0.4 / 0.5)])
    assert drawn(change)["layers.0.ffn"] == pytest.approx([-0.1])
    for figure, widest, unit in ((ratio, log10(5), "ratio"), (change, 0.4, "difference")):
        axis = figure.layout.coloraxis
        assert (axis.cmin, axis.cmax) == pytest.approx((-widest, widest))
        assert unit in axis.colorbar.title.text


def test_weighting_chooses_the_reported_error() -> None:
    aware = site(0, "ffn").model_copy(update={"norm_aware_error": dict.fromkeys(RECONSTRUCTIONS, 0.02)})
    figure = error_heatmap([aware], View(weighting="norm-aware", scale="linear"))
    assert drawn(figure)["layers.0.ffn"] == pytest.approx([0.02] * len(RECONSTRUCTIONS))
    assert "norm-aware" in figure.layout.coloraxis.colorbar.title.text


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_colours_compare_between_recipes_unless_they_are_fitted(view: View) -> None:
    few, many = (
        forecast(PruneSpec(targets="both", ratio=ratio, allocation="uniform"), tiny_atlas()) for ratio in (0.2, 0.6)
    )
    first, second = (error_heatmap(outcome.sites, view).layout.coloraxis for outcome in (few, many))
    alike = (first.cmin, first.cmax) == (second.cmin, second.cmax)
    if view.colours == "same" and not view.difference:
        assert first.cmax == (0.0 if view.scale == "log" else 1.0), "an error of everything has the brightest colour"
    # Every reconstruction scales the same curve here, so a fitted difference of logarithms has the same ends.
    assert alike == (view.colours == "same" or (view.difference is not None and view.scale == "log"))


def test_a_whole_site_has_no_error_and_not_what_rounding_leaves_of_it() -> None:
    rest = dict.fromkeys(RECONSTRUCTIONS, 2.98e-33)
    whole = site(0, "ffn").model_copy(update={"error": rest, "norm_aware_error": rest})
    figure = error_heatmap([whole])
    assert [annotation.text for annotation in figure.layout.annotations] == [
        f"<b>{name}</b>  mean 0" for name in RECONSTRUCTIONS
    ]
    assert "e-33" not in figure.to_json().replace('"z":', "")


def test_the_selected_site_is_outlined_on_every_strip_and_a_figure_knows_its_recipe() -> None:
    run = classifier_run()
    layout = error_heatmap(run.sites, View(site="layers.2.attention"), about={"recipe": "abc"}).layout
    outlined = layout.shapes
    assert layout.meta["recipe"] == "abc"
    assert {shape.yref for shape in outlined} == {"y", "y2", "y3", "y4", "y5"}
    assert {(shape.x0, shape.x1, shape.y0, shape.y1) for shape in outlined} == {(1.5, 2.5, 0.5, 1.5)}
    assert not error_heatmap(run.sites, View(site="layers.9.ffn")).layout.shapes


def test_a_fitted_scale_ends_at_the_largest_error_and_two_decades_below() -> None:
    """One site with almost no error must not stretch the scale until all others have one colour."""
    run = language_run()
    tiny = run.sites[0].model_copy(update={"error": dict.fromkeys(RECONSTRUCTIONS, 1e-5)})
    axis = error_heatmap([tiny, *run.sites[1:]], View(colours="fit")).layout.coloraxis
    largest = max(value for site in run.sites[1:] for value in site.error.values())
    assert axis.cmax == pytest.approx(log10(largest))
    assert axis.cmin == pytest.approx(log10(largest) - DECADES)
    assert axis.colorbar.ticktext[axis.colorbar.tickvals.index(axis.cmin)].startswith("≤")


def test_hover_names_site_units_and_error() -> None:
    sites = [site(0, "ffn", 0.4), site(1, "attention", 0.2)]
    hover = [cell[0] for trace in error_heatmap(sites).data for line in trace.customdata for cell in line]
    assert hover[3] == (
        "<b>layers.1.attention</b>, none<br>error 0.2 of the output's energy<br>norm-aware error 0.2<br>"
        "5 of 9 query heads kept"
    )
    assert hover[16].startswith("<b>layers.0.ffn</b>, least-squares<br>error 0.1 of")
    assert hover[16].endswith("768 of 1,536 neurons kept")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.show}-{view.weighting}-{view.scale}")
@pytest.mark.parametrize("error", [0.0, 0.25, 1e-9, 1e6])
def test_one_error_everywhere_has_a_finite_scale(error: float, view: View) -> None:
    same = dict.fromkeys(RECONSTRUCTIONS, error)
    sites = [item.model_copy(update={"error": same, "norm_aware_error": same}) for item in language_run(3).sites]
    axis = error_heatmap(sites, view).layout.coloraxis
    assert axis.cmin < axis.cmax


def test_an_older_result_has_no_strip_of_a_newer_reconstruction() -> None:
    sites = [older(item) for item in language_run(3).sites]
    titles = [title.text for title in error_heatmap(sites).layout.annotations]
    assert [title.split("</b>")[0] for title in titles] == [f"<b>{name}" for name in OLDER]
    for show in ("scale", "none-scale"):
        figure = error_heatmap(sites, View(show=show))
        assert set(drawn(figure)["layers.1.ffn"]) == {None}
        assert "no error of scale is known" in figure.layout.annotations[0].text
        assert "no error of scale is known" in figure.data[0].customdata[0][1][0]
        assert go.Figure(figure.to_dict())


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_an_unknown_error_has_no_colour_and_gives_the_reason(view: View) -> None:
    known = site(0, "ffn")
    by_hand = site(1, "ffn").model_copy(update={"error": {}, "norm_aware_error": {}})
    figure = error_heatmap([known, by_hand], view)
    values = drawn(figure)
    assert set(values["layers.1.ffn"]) == {None}
    assert None not in values["layers.0.ffn"]
    assert "not known for units chosen by hand" in figure.data[0].customdata[0][1][0]
    assert "of 1 of 2 sites" in figure.layout.annotations[0].text
    assert go.Figure(figure.to_dict())
    titles = [title.text for title in error_heatmap([by_hand], view).layout.annotations if "<b>" in title.text]
    assert titles
    assert all("not known" in title and "mean" not in title for title in titles), "there is no mean of nothing"


@pytest.mark.parametrize(("layers", "step"), [(2, 1), (4, 1), (12, 1), (30, 5)])
def test_an_axis_of_layers_has_whole_numbers(layers: int, step: int) -> None:
    assert error_heatmap(language_run(layers).sites).layout.xaxis.dtick == step
