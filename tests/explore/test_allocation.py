"""Allocation of a parameter budget to sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from liar.edits import SiteEdit
from liar.explore.allocation import Candidate, allocate, best_bundles, nearest_removed
from liar.sites import Site


@pytest.mark.parametrize("allocation", ["global", "error-curve"])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 0.9, 0.95])
def test_allocations_meet_the_budget_above_the_floor(allocation: str, ratio: float) -> None:
    generator = torch.Generator().manual_seed(1)
    candidates = []
    for layer in range(6):
        for kind, units, size, cost in (("ffn", 240, 1, 3), ("attention", 24, 4, 30)):
            scores = torch.rand(units, generator=generator, dtype=torch.float64)
            damage = torch.linspace(1 + layer, 0, units + 1, dtype=torch.float64).square()
            site = Site(layer, kind, units, size)
            candidates.append(Candidate(site, cost, scores.numpy(), damage.numpy(), float(scores.std())))
    kept = allocate(allocation, candidates, ratio)
    removed = sum((c.site.bundles - kept[c.site.name]) * c.bundle_parameters for c in candidates)
    whole = sum(c.site.bundles * c.bundle_parameters for c in candidates)
    assert removed == pytest.approx(ratio * whole, abs=30)
    for candidate in candidates:
        floor = min(candidate.site.bundles // 12, round((1 - ratio) * candidate.site.bundles))
        assert kept[candidate.site.name] >= max(1, floor)


def test_error_curve_takes_from_the_sites_that_suffer_least() -> None:
    flat, steep = (torch.linspace(top, 0, 101, dtype=torch.float64).square().numpy() for top in (1, 10))
    candidates = [Candidate(Site(0, "ffn", 100), 1, None, flat), Candidate(Site(1, "ffn", 100), 1, None, steep)]
    kept = allocate("error-curve", candidates, 0.5)
    assert kept["layers.0.ffn"] < 20
    assert kept["layers.1.ffn"] > 80
    assert sum(kept.values()) == 100


def test_a_head_that_overdraws_the_budget_adds_no_neurons_to_a_whole_site() -> None:
    heads = Candidate(Site(0, "attention", 4), 100, None, torch.zeros(5, dtype=torch.float64).numpy())
    steep = torch.linspace(10, 0, 11, dtype=torch.float64).numpy()
    kept = allocate("error-curve", [heads, Candidate(Site(0, "ffn", 10), 10, None, steep)], 0.12)
    assert kept == {"layers.0.attention": 3, "layers.0.ffn": 10}


@pytest.mark.parametrize(
    ("bundles", "ratio", "removed"), [(20, 0.35, 7), (3, 0.5, 1), (3, 0.67, 2), (12, 0.95, 11), (9, 0, 0)]
)
def test_the_nearest_legal_number(bundles: int, ratio: float, removed: int) -> None:
    assert nearest_removed(bundles, ratio) == removed


@pytest.mark.parametrize(
    ("scores", "edit", "kept"),
    [
        (np.arange(24.0), None, range(16, 24)),
        (np.arange(24.0), SiteEdit(keep=frozenset({0}), remove=frozenset({23})), [0, *range(16, 23)]),
        (np.zeros(24), None, range(8)),
    ],
    ids=["scores", "edit", "ties"],
)
def test_edits_decide_before_the_scores_and_ties_go_to_the_lower_index(
    scores: np.ndarray, edit: SiteEdit | None, kept: Sequence[int]
) -> None:
    before = scores.copy()
    assert best_bundles(Site(0, "ffn", 24), scores, 8, edit).tolist() == list(kept)
    assert (scores == before).all()
