"""Memory of a run: moments of one site at a time, and only those that are used."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from liar import run
from liar.calibration import activations, calibrate
from liar.calibration.activations import Visit, walk
from liar.errors import InsufficientMemoryError, InvalidSpecError
from liar.jobs.stages import reduction
from liar.maths.moments import SiteMoments, SiteMomentsAccumulator
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.runtime import placement
from liar.runtime.memory import PlannedWork, working_bytes
from liar.spec import SCHEDULES
from tests.jobs.conftest import spec


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fail if moments of one site are gathered while those of another exist; return a list with the width of each site."""
    known: list[weakref.ref[torch.Tensor]] = []
    counted: list[int] = []

    class Watched(SiteMomentsAccumulator):
        def __init__(self, width: int, *arguments: Any, **named: Any) -> None:
            assert not any(covariance() is not None for covariance in known)
            counted.append(width)
            super().__init__(width, *arguments, **named)

        def finish(self, site: str) -> SiteMoments:
            moments = super().finish(site)
            known.append(weakref.ref(moments.plain.covariance))
            if moments.norm_aware is not None:
                known.append(weakref.ref(moments.norm_aware.covariance))
            return moments

    monkeypatch.setattr(activations, "SiteMomentsAccumulator", Watched)
    return counted


@pytest.mark.parametrize("choices", [{}, {"allocation": "uniform"}, {"allocation": "uniform", "schedule": "one-shot"}])
def test_one_site_at_a_time_has_moments(
    model: LoadedModel, text: str, lonely: list[int], choices: dict[str, str]
) -> None:
    run(spec(text, **choices), model)
    assert len(lonely) == len(model.adapter.sites()) * (1 if "schedule" in choices else 2)


@pytest.mark.parametrize("criterion", ["obs", "fisher"])
@pytest.mark.parametrize("allocation", ["global", "error-curve", "loss-curve"])
def test_a_one_shot_run_walks_twice_where_all_moments_do_not_fit(
    model: LoadedModel,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    allocation: str,
    criterion: str,
) -> None:
    chosen = spec(text, allocation=allocation, criterion=criterion, schedule="one-shot")
    once = run(chosen, model)
    monkeypatch.setattr(calibrate, "free_bytes", lambda device: 0)
    lonely = request.getfixturevalue("lonely")
    twice = run(chosen, model)
    assert len(lonely) == 2 * len(model.adapter.sites())
    assert twice.sites == once.sites
    assert twice.totals == once.totals


def test_a_copy_that_would_not_fit_is_refused_before_it_is_made(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory suffices for the copy and the forward passes, but not for a backward pass through many tokens."""
    free = bytes_in_memory(model.model) + working_bytes(
        model.model.config, model.adapter.widest, torch.float32, PlannedWork(tokens=640, sequence_length=256)
    )
    monkeypatch.setattr(placement, "free_bytes", lambda device: free)
    with monkeypatch.context() as without_copies:
        without_copies.setattr(copy, "deepcopy", lambda _: pytest.fail("the model was copied"))
        with pytest.raises(InsufficientMemoryError, match=r"without a backward pass"):
            run(spec(text, sequence_length=256), model)
        with pytest.raises(InvalidSpecError, match="topic needs a classifier's head"):  # checked before the memory
            run(spec(text, sequence_length=256, evaluate=("topic",)), model)
    less = {"criterion": "obs", "allocation": "uniform", "schedule": "sequential"}
    run(spec(text, sequence_length=256, **less), model)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("allocation", ["global", "error-curve", "loss-curve"])
def test_norm_aware_moments_are_taken_where_something_reads_them(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch, allocation: str, schedule: str
) -> None:
    """Only for the report and for error-curve allocation, because they cost as much as the plain moments."""
    walks: list[bool] = []

    def noted(*arguments: Any, **named: Any) -> Iterator[Visit]:
        visits = walk(*arguments, **named)
        first = next(visits)
        walks.append(first.moments.norm_aware is not None)
        yield first
        yield from visits

    monkeypatch.setattr(reduction, "walk", noted)
    result = run(spec(text, allocation=allocation, schedule=schedule), model)
    assert walks == ([True] if schedule == "one-shot" else [allocation == "error-curve", True])
    assert all(site.norm_aware_error["none"] > 0 for site in result.sites if site.kept < site.units)
