"""Two processes against one: the same kept units, moments, gradients and weights, and the same bits in both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import ends, found, launch, shortened, streamed


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes finds."""
    folder = tmp_path_factory.mktemp("processes")
    for code, _, said in ends(launch(2, "-m", "tests.processes", str(folder))):
        assert code == 0, said
    return [torch.load(Path(folder) / str(rank), weights_only=False) for rank in range(2)]


@pytest.fixture(scope="module", params=["llama", "bert"])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def alone(family: str) -> Iterator[dict[str, Any]]:
    """What one process finds with one thread, as each of the two has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield found(family)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("schedule", ["one-shot", "sequential", "corrective"])
def test_two_processes_keep_the_units_of_one(
    schedule: str, family: str, both: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    reports, attenuation, weights = both[0][family][schedule]
    expected, slope, weights_alone = alone[schedule]
    assert [report.kept_units for report in reports] == [report.kept_units for report in expected]
    for report, one in zip(reports, expected, strict=True):
        assert report.error == pytest.approx(one.error, rel=1e-9)
        assert report.norm_aware_error == pytest.approx(one.norm_aware_error, rel=1e-9)
    assert (attenuation is None) == (slope is None) == (family == "bert" or schedule != "corrective")
    assert attenuation is None or attenuation == pytest.approx(slope, rel=1e-6)
    torch.testing.assert_close(weights, weights_alone, rtol=1e-6, atol=1e-7)
    assert torch.equal(weights, both[1][family][schedule][2]), "all processes end with the same bits"


def test_gradients_are_those_of_one_process(family: str, both: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for each in both:
        for name, one in alone["gradients"].items():
            other = each[family]["gradients"][name]
            torch.testing.assert_close(other.taylor, one.taylor)
            torch.testing.assert_close(other.fisher, one.fisher)
            torch.testing.assert_close(other.outputs, one.outputs)
            assert other.sensitivity == pytest.approx(one.sensitivity, rel=1e-6)


def test_processes_share_a_text_while_each_streams_the_blocks(both: list[dict[str, Any]]) -> None:
    for each in both:
        for report, one in zip(each["streamed"], streamed(), strict=True):
            assert report.kept_units == one.kept_units
            assert report.error == pytest.approx(one.error, rel=1e-5)


def test_a_text_that_cannot_be_shared_is_refused_by_all(both: list[dict[str, Any]]) -> None:
    for each in both:
        short, differs = each["refusals"]
        assert short.startswith("The 2 processes have 1 sequences of calibration text to share;")
        assert differs.startswith("The processes have read different calibration texts;")


def test_the_same_layers_go_and_get_the_same_patch(both: list[dict[str, Any]]) -> None:
    tried, reports, weights = shortened()
    for each in both:
        its_tried, its_reports, its_weights = each["shortened"]
        assert [(run.first, run.layers) for run in its_tried] == [(run.first, run.layers) for run in tried]
        errors = [[run.norm_aware_error for run in runs] for runs in (its_tried, tried)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-5)
        assert [report.kept for report in its_reports] == [report.kept for report in reports]
        for report, one in zip(its_reports, reports, strict=True):
            assert report.error == pytest.approx(one.error, rel=1e-5)
        torch.testing.assert_close(its_weights, weights, rtol=1e-4, atol=1e-5)
    assert torch.equal(both[0]["shortened"][2], both[1]["shortened"][2])
