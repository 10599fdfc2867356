"""Runs with products in half precision where they may be, beside runs without."""

from __future__ import annotations

import pytest

from liar import PruneSpec, RunResult, run
from liar.runtime import devices
from liar.spec import Allocation, Schedule
from tests import tiny


@pytest.fixture
def both(text: str, monkeypatch: pytest.MonkeyPatch, schedule: Schedule, allocation: Allocation) -> list[RunResult]:
    """The same run with and without."""
    found = []
    for able in (True, False):
        monkeypatch.setattr(devices, "has_fast_half", lambda able=able: able)
        choices = {"calibration": text, "tokens": 1024, "sequence_length": 32, "criterion": "fluctuation"}
        spec = PruneSpec.create(model="tiny/llama", schedule=schedule, allocation=allocation, **choices)
        found.append(run(spec, tiny.language_model()))
    return found


@pytest.mark.parametrize(("schedule", "allocation"), [("one-shot", "error-curve"), ("sequential", "uniform")])
def test_moments_that_repair_are_never_of_them(both: list[RunResult]) -> None:
    assert both[0].sites == both[1].sites


@pytest.mark.parametrize("schedule", ["sequential", "corrective"])
@pytest.mark.parametrize("allocation", ["uniform", "error-curve", "loss-curve"])
def test_they_change_little(both: list[RunResult]) -> None:
    for fast, exact in zip(both[0].sites, both[1].sites, strict=True):
        assert fast.kept == pytest.approx(exact.kept, abs=0.05 * exact.units)
        assert fast.error["least-squares"] == pytest.approx(exact.error["least-squares"], rel=0.15)
    assert both[0].attenuation == pytest.approx(both[1].attenuation, abs=0.02)
