"""Figures of one site: they show the atlas's data, mark what is chosen, and are valid for plotly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from liar.explore.atlas import SiteAtlas
from liar.report.plots.site_figures import site_correlations, site_errors, site_scores, site_spectrum, site_units
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS
from tests.fake_atlas import tiny_atlas
from tests.fakes import site

ATTENTION, FFN = (of for of in tiny_atlas().sites if of.site.layer == 1)


def left(of: SiteAtlas, kept: int) -> SiteReport:
    """The predicted report of a site that keeps its best ``kept`` bundles by obs."""
    bundles = of.order("obs")[:kept].tolist()
    return site(of.site.layer, of.site.kind).model_copy(
        update={
            "units": of.site.units,
            "kept": kept * of.site.group,
            "error": of.errors_of("obs", bundles),
            "norm_aware_error": of.errors_of("obs", bundles, "norm-aware"),
        }
    )


def words(figure: go.Figure) -> str:
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def best(of: SiteAtlas, kept: int) -> list[int]:
    """Units of the best ``kept`` bundles by obs."""
    group = of.site.group
    return [int(bundle) * group + unit for bundle in of.order("obs")[:kept] for unit in range(group)]


@pytest.mark.parametrize("of", [FFN, ATTENTION], ids=["ffn", "attention"])
@pytest.mark.parametrize("kept", [1, 2, 3])
def test_plotly_takes_every_figure(of: SiteAtlas, kept: int) -> None:
    units = best(of, kept)
    for figure in (
        site_errors(of, "obs", left(of, kept), "liar", "norm-aware", "linear", site(1, of.site.kind)),
        site_errors(of, "obs", left(of, kept), "liar"),
        site_scores(of, "obs", units),
        site_units(of.site, units),
        site_correlations(of, units),
        site_spectrum(of),
    ):
        assert go.Figure(figure.to_dict())
        assert figure.layout.height
        assert figure.layout.width is None


def test_the_chosen_ratio_is_marked_with_its_error() -> None:
    figure = site_errors(FFN, "obs", left(FFN, 15), "least-squares")
    assert figure.layout.shapes[0].x0 == pytest.approx(0.75)
    assert f"75%: <b>{FFN.error_at('obs', 'least-squares', 15):.3g}</b>" in words(figure)
    assert [trace.name for trace in figure.data] == list(RECONSTRUCTIONS)
    assert len({trace.line.color for trace in figure.data}) == len({trace.line.dash for trace in figure.data}) == 5
    assert max(figure.data, key=lambda trace: trace.line.width).name == "least-squares"
    few = site_errors(ATTENTION, "obs", left(ATTENTION, 2), "none")
    assert list(few.data[0].x) == pytest.approx([0, 1 / 3, 2 / 3]), "few bundles have only the ratios that exist"


def test_what_a_run_measured_stands_at_its_own_ratio() -> None:
    measured: SiteReport = site(1, "ffn").model_copy(update={"units": 60, "kept": 45})
    marks = site_errors(FFN, "obs", left(FFN, 15), "liar", measured=measured).data[5:]
    assert {mark.x[0] for mark in marks} == {0.25}
    assert [mark.y[0] for mark in marks] == list(measured.error.values())
    assert "measured" in words(site_errors(FFN, "obs", left(FFN, 15), "liar", measured=measured))
    assert "measured" not in words(site_errors(FFN, "obs", left(FFN, 15), "liar"))


def test_what_rounding_leaves_of_no_error_is_not_drawn() -> None:
    error = FFN.arrays.error.copy()
    error[..., 0] = 2.98e-33
    of = replace(FFN, arrays=replace(FFN.arrays, error=error))
    figure = site_errors(of, "obs", left(of, 15), "liar")
    assert {trace.y[0] for trace in figure.data} == {None}
    assert 10 ** figure.layout.yaxis.range[0] > 1e-7


def test_scores_fall_and_are_cut_where_the_kept_end() -> None:
    figure = site_scores(FFN, "obs", best(FFN, 20))
    kept, removed = figure.data
    assert (len(kept.x), len(removed.x)) == (20, 40)
    assert figure.layout.shapes[0].x0 == 20.5
    assert [*kept.y, *removed.y] == pytest.approx(FFN.scores("obs"), rel=1e-3)


def test_a_choice_against_the_scores_is_marked() -> None:
    ranked = best(FFN, 60)
    figure = site_scores(FFN, "obs", [*ranked[1:20], ranked[50]])
    odd = {trace.name: list(trace.x) for trace in figure.data[2:]}
    assert odd == {"kept all the same": [51], "removed all the same": [1]}


@pytest.mark.parametrize("units", [9, 60, 65, 1536, 18_944])
def test_every_unit_has_one_cell(units: int) -> None:
    keep = list(range(0, units, 2))
    kept, removed = site_units(Site(0, "ffn", units), keep).data
    for trace, expected in ((kept, keep), (removed, range(1, units, 2))):
        cells = zip(np.ravel(trace.customdata), np.ravel(np.array(trace.z, dtype=object)), strict=True)
        assert [number for number, value in cells if value is not None] == list(expected)
    assert len(kept.z) <= 64


def test_heads_that_go_together_have_a_note() -> None:
    assert "3 heads share keys and values" in words(site_units(ATTENTION.site, best(ATTENTION, 1)))
    assert "share" not in words(site_units(FFN.site, best(FFN, 1)))


def test_correlations_put_the_kept_channels_first() -> None:
    units = best(FFN, 30)
    figure = site_correlations(FFN, units)
    ends = figure.layout.xaxis.constraintoward, figure.layout.yaxis.constraintoward
    assert ends == ("left", "top"), "plotly would centre the square matrix, which is narrower than its frame"
    first = [row[0][0] for row in figure.data[0].customdata]
    assert sorted(first) == sorted(FFN.arrays.sample.tolist())
    inside = [channel in units for channel in first]
    assert inside == sorted(inside, reverse=True)
    assert figure.layout.shapes[0].x0 == sum(inside) - 0.5
    assert list(figure.layout.xaxis.ticktext) == ["kept", "removed"]
    where = {int(channel): index for index, channel in enumerate(FFN.arrays.sample)}
    a, b = where[first[0]], where[first[-1]]
    assert figure.data[0].z[0][-1] == pytest.approx(float(FFN.arrays.correlation[a, b]), abs=1e-3)
    whole = site_correlations(FFN, list(range(60))).layout
    assert not whole.shapes
    assert list(whole.xaxis.ticktext) == ["kept"]


def test_the_spectrum_states_its_condition() -> None:
    figure = site_spectrum(FFN)
    assert "condition 3.2e4" in words(figure)
    assert figure.data[0].x[0] == 1
    assert figure.data[0].x[-1] == 60


def test_the_error_of_units_chosen_by_hand_is_a_mark_of_its_own() -> None:
    """The lines are of the units that the criterion keeps; the error of other ones is elsewhere."""
    of_the_best, by_hand = left(ATTENTION, 2), left(ATTENTION, 2).model_copy(update={"error": {"liar": 0.9}})
    assert ATTENTION.error_at("obs", "liar", 2) != pytest.approx(0.9)
    lines = len(site_errors(ATTENTION, "obs", of_the_best, "liar").data)
    figure = site_errors(ATTENTION, "obs", by_hand, "liar")
    removed = 1 - by_hand.kept / by_hand.units
    assert f"{removed:.0%}, units chosen by hand: <b>0.9</b>" in words(figure)
    (mark,) = figure.data[lines:]
    assert (list(mark.x), list(mark.y), mark.marker.symbol) == ([removed], [0.9], "x")
    assert "by hand" not in words(site_errors(ATTENTION, "obs", of_the_best, "liar"))
    unknown = site_errors(ATTENTION, "obs", by_hand.model_copy(update={"error": {}}), "liar")
    assert "units chosen by hand: <b>not known</b>" in words(unknown)
    assert len(unknown.data) == lines
