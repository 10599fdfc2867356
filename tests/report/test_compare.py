"""Two runs compared: their differing settings, metrics and sites."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest

from liar.report.plots.heatmap import comparison_heatmap
from liar.results import Evaluation, Items
from liar.spec import PruneSpec
from liar.statistics.compare import (
    common_metrics,
    common_sites,
    difference,
    differing,
    differing_settings,
    is_chance,
)
from tests.fakes import classifier_run, language_run, run_of_layers, with_answers


def test_a_run_differs_from_itself_in_nothing() -> None:
    run = language_run()
    assert differing_settings(run, run) == []
    assert [difference(a, b).change for a, b in common_metrics(run, run)] == [0, 0, 0]
    assert common_sites(run, run) == [(site, site) for site in run.sites]


def test_settings_stand_in_the_order_of_the_recipe() -> None:
    first = language_run(tokens=4096, reconstruction="bias")
    second = language_run(ratio=0.25, edits=("layers.3.ffn:ratio=0.2",), evaluate_limit=40)
    assert differing_settings(first, second) == [
        ("ratio", "0.5", "0.25"),
        ("reconstruction", "bias", "least-squares"),
        ("tokens", "4,096", "auto"),
        ("evaluate limit", "default", "40"),
        ("edits", "none", "layers.3.ffn:ratio=0.2"),
    ]


def test_what_auto_came_to_is_a_difference_too() -> None:
    first = language_run().model_copy(update={"environment": {"device": "cpu", "dtype": "float32", "threads": "2"}})
    second = language_run().model_copy(update={"environment": {"device": "cuda", "dtype": "float32", "threads": "8"}})
    assert differing_settings(first, second) == [("device", "cpu", "cuda")]


def test_metrics_are_paired_by_task_and_variant() -> None:
    first, second = language_run(), language_run(seed=1)
    changed = [item.model_copy(update={"value": item.value + 3, "stderr": 4.0}) for item in second.evaluations[::-1]]
    found = common_metrics(first, second.model_copy(update={"evaluations": changed[:2]}))
    assert [a.variant for a, _ in found] == ["pruned", "reconstructed"]
    assert all(a.variant == b.variant for a, b in found)
    assert [difference(a, b).change for a, b in found] == pytest.approx([3, 3])


def measured(right: str | None, digest: str = "one") -> Evaluation:
    """Accuracy on texts for which ``right`` has 1 if the answer is right, else 0."""
    found = with_answers(classifier_run(), *[right or "1100"] * 3).evaluations[0]
    items = Items(digest=digest, right=f"{int(right, 2):x}") if right else None
    return found.model_copy(update={"items": items, "stderr": 0.2})


def perplexed(*nll: float) -> Evaluation:
    items, value = Items(digest="windows", nll=list(nll)), math.exp(fmean(nll))
    return language_run().evaluations[0].model_copy(update={"value": value, "n": len(nll), "items": items})


def test_answers_to_the_same_texts_are_compared_in_pairs() -> None:
    found = difference(measured("0110101011"), measured("0111100011"))
    changes = np.array([0, 0, 0, 1, 0, 0, -1, 0, 0, 0])
    assert found.paired
    assert found.change == pytest.approx(changes.mean())
    assert found.stderr == pytest.approx(changes.std(ddof=1) / math.sqrt(10))


def test_a_model_beside_itself_differs_by_nothing_and_without_doubt() -> None:
    for item in (measured("0011"), perplexed(2.0, 2.5, 3.1)):
        found = difference(item, item)
        assert (found.change, found.stderr, found.paired) == (0, 0, True)


def test_windows_are_compared_in_pairs_and_as_a_ratio() -> None:
    first, second = np.array([2.0, 2.5, 3.1, 2.2]), np.array([2.4, 2.9, 3.6, 2.5])
    a, b = perplexed(*first), perplexed(*second)
    found = difference(a, b)
    ratio = math.exp((second - first).mean())
    assert found.ratio == pytest.approx(ratio)
    assert found.ratio_stderr == pytest.approx(ratio * (second - first).std(ddof=1) / 2)
    assert found.stderr == pytest.approx((b.value * second - a.value * first).std(ddof=1) / 2)


def test_without_single_answers_no_paired_error_is_claimed() -> None:
    for a, b in ((measured("0011"), measured(None)), (measured(None), measured(None))):
        assert difference(a, b).stderr is None
    apart = difference(measured("0011", "one"), measured("0111", "two"))
    assert (apart.paired, apart.stderr) == (False, pytest.approx(math.hypot(0.2, 0.2)))


def test_a_difference_that_is_small_beside_its_paired_error_is_chance() -> None:
    a = measured("1" * 50 + "0" * 50)
    better, mixed = measured("1" * 53 + "0" * 47), measured("0" * 10 + "1" * 53 + "0" * 37)
    assert not is_chance(a, better), "three texts better, none worse"
    assert is_chance(a, mixed), "thirteen better, ten worse"
    assert is_chance(measured(None), measured(None))


def test_runs_of_different_models_have_no_site_in_common() -> None:
    first, second = language_run(targets="both"), classifier_run()
    assert common_sites(first, second) == []
    assert common_metrics(first, second) == []
    assert "model" in [name for name, _, _ in differing_settings(first, second)]


def test_a_site_that_went_with_its_layer_has_no_error_to_compare() -> None:
    both = run_of_layers(), run_of_layers(seed=1)
    assert all(site.error and other.error for site, other in common_sites(*both))
    comparison_heatmap(*both)


def test_differing_choices() -> None:
    specs = [PruneSpec(), PruneSpec(ratio=0.2), PruneSpec(criterion="wanda")]
    assert differing(specs) == ["criterion", "ratio"]
    assert differing(specs[:1]) == []
