"""The repairs of a site: the solutions of its kept channels, and no graph of gradients."""

from __future__ import annotations

import pytest
import torch

from liar.jobs.stages.reduction import solve_repairs
from liar.maths import relative_errors as errors
from liar.maths.channels import complement
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS


def test_the_chosen_bundles_stay_with_the_solutions_of_their_channels_and_no_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    moments, weight = Moments.of(torch.randn(200, 24)), torch.randn(24, 5, requires_grad=True)
    heads = Site(0, "attention", units=6, unit_size=4, group=2)
    channels, solutions = solve_repairs(heads, torch.tensor([1, 2]), moments, weight)
    assert channels.tolist() == list(range(8, 24))
    assert set(solutions) == set(RECONSTRUCTIONS)
    assert torch.equal(solutions["least-squares"].weight, reconstruct(moments, weight, channels).weight)
    enabled: list[bool] = []
    monkeypatch.setattr(errors, "complement", lambda *of: enabled.append(torch.is_grad_enabled()) or complement(*of))
    assert errors.relative_errors(moments, weight, channels, solutions).keys() == solutions.keys()
    assert enabled == [False]
    assert not any(solution.weight.requires_grad for solution in solutions.values())
