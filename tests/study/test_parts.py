"""The fast mode of the study: every part measures, stores and reports."""

from __future__ import annotations

import pytest
from parts import PARTS
from parts.points import PointStore, Scope
from readme import ROOT
from study import measured

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository of git")


QUICK = ("truth", "nonlinear")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PointStore:
    return PointStore(tmp_path_factory.mktemp("points"))


@pytest.mark.demo
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in PARTS]
)
def test_every_part_works(name: str, store: PointStore) -> None:
    part = PARTS[name]
    points = measured(part, Scope(fast=True), store)
    report = part.report(points)
    assert all(point.seconds > 0 and point.commit and point.machine for point in points.values())
    assert report.text.count("\n|") >= 2 + len(points)


@pytest.mark.demo
def test_the_repair_of_twins_is_the_known_one(store: PointStore) -> None:
    (point,) = measured(PARTS["truth"], Scope(fast=True), store).values()
    values = point.values
    assert values["weight"] < 1e-6
    assert values["least-squares"] < 1e-12 < values["liar"] < values["bias"] < values["none"]
