"""Two runs: what was chosen differently, and what came of it."""

from __future__ import annotations

import pytest

from liar.compare import compare, differing
from liar.spec import PruneSpec
from tests.fakes import classifier_run, language_run


def test_a_run_differs_from_itself_in_nothing() -> None:
    run = language_run()
    found = compare(run, run)
    assert found.settings == []
    assert [item.change for item in found.metrics] == [0, 0, 0]
    assert len(found.sites) == len(run.sites)
    assert all(site.a == site.b for site in found.sites)


def test_settings_are_said_in_the_order_of_the_recipe() -> None:
    first = language_run(tokens=4096, reconstruction="bias")
    second = language_run(ratio=0.25, edits=("layers.3.ffn:ratio=0.2",), evaluate_limit=40)
    said = [(item.name, item.a, item.b) for item in compare(first, second).settings]
    assert said == [
        ("ratio", "0.5", "0.25"),
        ("reconstruction", "bias", "least-squares"),
        ("tokens", "4,096", "12,288"),
        ("evaluate limit", "default", "40"),
        ("edits", "none", "layers.3.ffn:ratio=0.2"),
    ]


def test_what_auto_came_to_is_a_difference_too() -> None:
    first = language_run().model_copy(update={"environment": {"device": "cpu", "dtype": "float32", "threads": "2"}})
    second = language_run().model_copy(update={"environment": {"device": "cuda", "dtype": "float32", "threads": "8"}})
    assert [(item.name, item.a, item.b) for item in compare(first, second).settings] == [("device", "cpu", "cuda")]


def test_metrics_are_paired_by_task_and_variant() -> None:
    first, second = language_run(), language_run(seed=1)
    changed = [item.model_copy(update={"value": item.value + 3, "stderr": 4.0}) for item in second.evaluations[::-1]]
    found = compare(first, second.model_copy(update={"evaluations": changed[:2]})).metrics
    assert [item.a.variant for item in found] == ["pruned", "reconstructed"]
    assert all(item.a.variant == item.b.variant for item in found)
    assert [item.change for item in found] == pytest.approx([3, 3])
    assert found[0].stderr == pytest.approx((found[0].a.stderr ** 2 + 16) ** 0.5)


def test_sites_are_compared_by_what_each_run_installed() -> None:
    first, second = language_run(reconstruction="none"), language_run(reconstruction="liar")
    (site, *_) = compare(first, second).sites
    assert (site.a, site.b) == (first.sites[0].error["none"], second.sites[0].error["liar"])


def test_runs_of_different_models_have_no_site_in_common() -> None:
    found = compare(language_run(targets="both"), classifier_run())
    assert found.sites == []
    assert found.metrics == []
    assert "model" in [item.name for item in found.settings]


def test_differing_choices() -> None:
    specs = [PruneSpec(), PruneSpec(ratio=0.2), PruneSpec(criterion="wanda")]
    assert differing(specs) == ["criterion", "ratio"]
    assert differing(specs[:1]) == []
