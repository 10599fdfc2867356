"""The decision about a site: the solutions of its kept channels, and no graph of gradients."""

from __future__ import annotations

import pytest
import torch

from liar.jobs.stages import decide as module
from liar.jobs.stages.decide import decide
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct
from liar.maths.relative_errors import relative_errors
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS

HEADS = Site(0, "attention", units=6, unit_size=4, group=2)
NEURONS = Site(0, "ffn", units=24)


def problem() -> tuple[Moments, torch.Tensor]:
    torch.manual_seed(0)
    return Moments.of(torch.randn(200, 24)), torch.randn(24, 5)


def test_the_chosen_bundles_stay_with_the_solutions_of_their_channels() -> None:
    moments, weight = problem()
    decision = decide(HEADS, torch.tensor([1, 2]), moments, weight)
    assert decision.units == [2, 3, 4, 5]
    assert decision.channels.tolist() == list(range(8, 24))
    assert set(decision.solutions) == set(RECONSTRUCTIONS)
    expected = reconstruct(moments, weight, decision.channels)
    assert torch.equal(decision.solutions["least-squares"].weight, expected.weight)
    solutions = decision.solutions
    assert decision.errors(moments, solutions) == relative_errors(moments, weight, decision.channels, solutions)


def test_a_weight_in_training_gives_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    moments, weight = problem()
    weight.requires_grad_(True)
    decision = decide(NEURONS, torch.arange(12), moments, weight)
    assert not any(solution.weight.requires_grad for solution in decision.solutions.values())
    enabled: list[bool] = []
    monkeypatch.setattr(module, "relative_errors", lambda *_: enabled.append(torch.is_grad_enabled()) or {})
    decision.errors(moments, decision.solutions)
    assert enabled == [False]
