"""Metrics between the ratios of measured runs."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.report.between import between_words, interpolated, of_other_ratios
from liar.results import Evaluation
from liar.spec import PruneSpec
from liar.store import RunSummary
from tests.fakes import classifier_run, language_run

PERPLEXITIES = {0.3: 20.0, 0.5: 45.0}
DENSE = 16.2


def summary(ratio: float, perplexity: float, **choices: object) -> RunSummary:
    run = language_run(ratio=ratio, **choices)
    evaluations = [
        item.model_copy(update={"value": perplexity}) if item.variant == "reconstructed" else item
        for item in run.evaluations
    ]
    return RunSummary.model_validate(
        {**run.model_dump(include={"spec", "model", "totals"}), "evaluations": evaluations}
    )


def runs() -> dict[float, RunSummary]:
    return {ratio: summary(ratio, perplexity) for ratio, perplexity in PERPLEXITIES.items()}


def at(ratio: float) -> PruneSpec:
    return PruneSpec(ratio=ratio, evaluate=("perplexity",))


def test_only_runs_that_differ_in_nothing_but_the_ratio_count() -> None:
    others = [summary(0.4, 30.0, seed=1), summary(0.4, 30.0, criterion="obs"), summary(0.4, 30.0, model="other/model")]
    assert list(of_other_ratios(at(0.4), [*others, *reversed(runs().values())])) == [0.3, 0.5]


@given(st.floats(0.31, 0.49))
def test_a_perplexity_lies_between_its_neighbours_and_grows(ratio: float) -> None:
    (lower,), (upper,) = interpolated(at(ratio), runs()), interpolated(at(ratio + 0.005), runs())
    assert PERPLEXITIES[0.3] < lower.value < upper.value < PERPLEXITIES[0.5]


def test_a_perplexity_is_interpolated_by_its_logarithm_and_any_other_metric_by_itself() -> None:
    (found,) = interpolated(at(0.4), runs())
    assert found.value == pytest.approx(sqrt(20.0 * 45.0))
    base = classifier_run()
    measured = {0.2: 0.9, 0.6: 0.7}
    several = {
        ratio: RunSummary.model_validate(
            {
                **base.model_dump(include={"model", "totals"}),
                "spec": base.spec.model_copy(update={"ratio": ratio}),
                "evaluations": [of_value(item, value) for item in base.evaluations],
            }
        )
        for ratio, value in measured.items()
    }
    (found,) = interpolated(base.spec.model_copy(update={"ratio": 0.3}), several)
    assert found.value == pytest.approx(0.85)


def of_value(item: Evaluation, value: float) -> Evaluation:
    return item.model_copy(update={"value": value}) if item.variant == "reconstructed" else item


def test_the_dense_model_stands_at_the_start_and_nothing_at_the_end() -> None:
    (found,) = interpolated(at(0.15), runs())
    assert found.value == pytest.approx(sqrt(DENSE * 20.0))
    assert between_words(at(0.15), runs()) == "between the dense model and the run at 30 %: perplexity about 18.0"
    assert between_words(at(0.4), runs()) == "between the runs at 30 % and 50 %: perplexity about 30.0"
    for ratio in (0.55, 0.95):
        assert interpolated(at(ratio), runs()) == []
        assert between_words(at(ratio), runs()) == ""
    assert between_words(at(0.2), {}) == ""


def test_a_task_that_a_neighbour_lacks_is_left_out() -> None:
    wanted = PruneSpec(ratio=0.4, evaluate=("perplexity", "out-of-domain"))
    assert [each.task for each in interpolated(wanted, runs())] == ["perplexity"]
