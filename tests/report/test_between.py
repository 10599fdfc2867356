"""Metrics between the ratios of measured runs."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.choices import Reconstruction
from liar.errors import InvalidSpecError
from liar.explore.forecast import Forecast, forecast
from liar.report.interpolation import (
    between_words,
    carried,
    interpolated,
    meet_perplexity,
    meet_quality,
    neighbours,
    of_other_ratios,
)
from liar.results import RunResult, SiteReport
from liar.spec import RECONSTRUCTIONS, PruneSpec
from liar.store import RunStore, RunSummary
from tests.fake_atlas import tiny_atlas
from tests.fakes import classifier_run, language_run, with_values
from tests.shipped import NO_FOLDER, shipped_pair, shipped_run

PERPLEXITIES = {0.3: 20.0, 0.5: 45.0}
DENSE = 16.2


def summary(run: RunResult, value: float) -> RunSummary:
    """Of ``run``, with ``value`` as the metric of its reconstructed model."""
    return RunSummary.model_validate(with_values(run, reconstructed=value).model_dump())


def runs() -> dict[float, RunSummary]:
    return {ratio: summary(language_run(ratio=ratio), value) for ratio, value in PERPLEXITIES.items()}


def at(ratio: float) -> PruneSpec:
    return PruneSpec(ratio=ratio, evaluate=("perplexity",))


def test_only_runs_that_differ_in_nothing_but_the_ratio_count() -> None:
    choices: list[dict[str, Any]] = [{"seed": 1}, {"criterion": "obs"}, {"model": "other/model"}]
    others = [summary(language_run(ratio=0.4, **other), 30.0) for other in choices]
    assert list(of_other_ratios(at(0.4), [*others, *reversed(runs().values())])) == [0.3, 0.5]


@given(st.floats(0.31, 0.49))
def test_a_perplexity_lies_between_its_neighbours_and_grows(ratio: float) -> None:
    lower, upper = (interpolated(at(each), runs())["perplexity"] for each in (ratio, ratio + 0.005))
    assert PERPLEXITIES[0.3] < lower < upper < PERPLEXITIES[0.5]


def test_a_perplexity_is_interpolated_by_its_logarithm_and_any_other_metric_by_itself() -> None:
    assert interpolated(at(0.4), runs()) == {"perplexity": pytest.approx(sqrt(20.0 * 45.0))}
    several = {ratio: summary(classifier_run(ratio=ratio), value) for ratio, value in {0.2: 0.9, 0.6: 0.7}.items()}
    assert interpolated(classifier_run(ratio=0.3).spec, several) == {"sentiment": pytest.approx(0.85)}


def test_the_dense_model_stands_at_the_start_and_nothing_at_the_end() -> None:
    assert interpolated(at(0.15), runs()) == {"perplexity": pytest.approx(sqrt(DENSE * 20.0))}
    assert between_words(at(0.15), runs()) == "Between the dense model and the run at 30 %: perplexity about 18.0"
    assert between_words(at(0.4), runs()) == "Between the runs at 30 % and 50 %: perplexity about 30.0"
    for ratio in (0.55, 0.95):
        assert interpolated(at(ratio), runs()) == {}
        assert between_words(at(ratio), runs()) == ""
    assert between_words(at(0.2), {}) == ""


def test_each_variant_is_interpolated_but_no_task_that_a_neighbour_lacks() -> None:
    spec = PruneSpec(ratio=0.4, evaluate=("perplexity", "out-of-domain"))
    assert interpolated(spec, runs(), "pruned") == {"perplexity": pytest.approx(110.7)}, "both runs measured it"


# -- errors -------------------------------------------------------------------------------------------------------------

ATLAS = tiny_atlas()


def mark(ratio: float, share: float) -> RunResult:
    """A run whose errors are this share of those forecast."""

    def shares(site: SiteReport) -> dict[str, Any]:
        return {kind: {name: share * error for name, error in getattr(site, kind).items()} for kind in KINDS}

    sites = [site.model_copy(update=shares(site)) for site in forecast(at(ratio), ATLAS).sites]
    return language_run(ratio=ratio).model_copy(update={"sites": sites})


KINDS = ("error", "norm_aware_error")
MARKS = (mark(0.3, 0.9), mark(0.5, 0.6))


def beside(ratio: float) -> Forecast:
    """Forecast made to agree with the nearest of the two runs."""
    near = [run.spec.ratio for run in neighbours(ratio, runs())]
    return carried(forecast(at(ratio), ATLAS), [run for run in MARKS if run.spec.ratio in near], ATLAS)


def mean(sites: list[SiteReport], name: Reconstruction, kind: str = "error") -> float:
    return fmean(getattr(site, kind)[name] for site in sites)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_an_error_meets_the_runs_and_grows_over_the_slider(name: Reconstruction, kind: str) -> None:
    percents = range(1, 66)  # beyond it a site would be left without heads
    errors = {percent: mean(beside(percent / 100).sites, name, kind) for percent in percents}
    assert list(errors.values()) == sorted(errors.values())
    for run in MARKS:
        assert errors[round(100 * run.spec.ratio)] == pytest.approx(mean(run.sites, name, kind))
    for ratio, share in ((0.2, 0.9), (0.6, 0.6)):
        alone = mean(forecast(at(ratio), ATLAS).sites, name, kind)
        assert errors[round(100 * ratio)] == pytest.approx(share * alone), "one run lends its own factor"


def test_a_forecast_names_the_runs_that_it_agrees_with() -> None:
    assert [(beside(ratio).runs, beside(ratio).is_between) for ratio in (0.2, 0.4, 0.6)] == [
        ((0.3,), True),
        ((0.3, 0.5), True),
        ((0.5,), False),
    ]
    alone = carried(forecast(at(0.4), ATLAS), [], ATLAS)
    assert (alone.runs, alone.is_between) == ((), False)
    assert alone == forecast(at(0.4), ATLAS)


@pytest.mark.parametrize("model", ["demo/smollm2-135m", "demo/minilm-sentiment"])
def test_the_shipped_runs_have_no_step_at_their_marks(model: str, tmp_path: Path) -> None:
    """The forecast alone is up to a fifth above a run of the default recipe."""
    shipped, atlas = shipped_pair(model)
    store = RunStore(tmp_path)
    known = of_other_ratios(shipped.spec, store.summaries())
    steps, alone = [], []
    for ratio, found in known.items():
        run = store.load(found.spec.key)
        assert run is not None
        near = shipped.spec.model_copy(update={"ratio": round(ratio + 0.001, 3)})
        expected = forecast(near, atlas)
        marks = [result for each in neighbours(near.ratio, known) if (result := store.load(each.spec.key)) is not None]
        measured = mean(run.sites, "least-squares")
        steps.append(abs(mean(carried(expected, marks, atlas).sites, "least-squares") / measured - 1))
        alone.append(abs(mean(expected.sites, "least-squares") / measured - 1))
    assert max(alone) > 0.1
    assert max(steps) < 0.03


# -- the perplexity asked for -----------------------------------------------------------------------------------------------


@given(st.floats(1.02, 2.7))
def test_a_perplexity_between_runs_is_the_interpolated_one(most: float) -> None:
    ratio, words = meet_perplexity(most, at(0.9), ATLAS, runs())

    def beside_dense(ratio: float) -> float:
        return interpolated(at(ratio), runs())["perplexity"] / DENSE

    assert beside_dense(ratio) <= most < beside_dense(round(ratio + 0.01, 2))
    ends = "the runs at 30 % and 50 %" if ratio > 0.3 else "the dense model and the run at 30 %"
    about, how = ("", "measured") if ratio in PERPLEXITIES else ("about ", f"between {ends}")
    assert words == f"A ratio of {ratio:g} meets that: {about}{beside_dense(ratio):.2f} x the dense perplexity, {how}."


@pytest.mark.parametrize("ratio", PERPLEXITIES)
def test_a_perplexity_that_a_run_has_is_measured(ratio: float) -> None:
    asked = PERPLEXITIES[ratio] / DENSE
    found, words = meet_perplexity(asked * 1.001, at(0.9), ATLAS, runs())
    assert found == ratio
    assert words.endswith(f"{asked:.2f} x the dense perplexity, measured.")


def test_beyond_the_runs_it_is_a_forecast_and_says_which_way_it_errs() -> None:
    reached = PERPLEXITIES[0.5] / DENSE
    ratio, words = meet_perplexity(reached * 1.2, at(0.9), ATLAS, runs())
    assert ratio > 0.5, "a run measured that 50 % meets it"
    assert "the curves forecast" in words
    assert "in proportion to the run at 50 %. They mostly forecast too much" in words
    alone, words = meet_perplexity(1.5, at(0.9), ATLAS, {})
    assert alone > 0
    assert "proportion" not in words
    assert "mostly forecast too much" in words


def test_a_classifier_has_no_perplexity() -> None:
    with pytest.raises(InvalidSpecError, match="has no perplexity; ask for a share"):
        meet_perplexity(1.5, classifier_run().spec, ATLAS, {})


# -- a share of the metric ----------------------------------------------------------------------------------------------


def test_a_share_of_the_accuracy_is_met_by_the_highest_ratio_that_keeps_it() -> None:
    spec = shipped_run("demo/minilm-sentiment").spec
    found = of_other_ratios(spec, RunStore(NO_FOLDER).summaries())
    dense = next(item.value for item in found[0.5].evaluations if item.variant == "dense")
    for share in (0.9, 0.95, 0.98):
        ratio, words = meet_quality(share, spec, found)
        kept = interpolated(spec.model_copy(update={"ratio": ratio}), found)["sentiment"] / dense
        assert kept >= share
        higher = [spec.model_copy(update={"ratio": percent / 100}) for percent in range(round(100 * ratio) + 1, 91)]
        above = [interpolated(each, found) for each in higher]
        assert all(each["sentiment"] / dense < share for each in above)
        assert f"A ratio of {ratio:g} keeps {100 * kept:.0f} % of the accuracy" in words
    with pytest.raises(InvalidSpecError, match="No measured run"):
        meet_quality(0.9, spec, {})
    writer = shipped_run("demo/smollm2-135m").spec
    with pytest.raises(InvalidSpecError, match="No measured run"):
        meet_quality(0.9, writer, of_other_ratios(writer, RunStore(NO_FOLDER).summaries()))
