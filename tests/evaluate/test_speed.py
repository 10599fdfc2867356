"""The timing of a forward, on a clock that the test winds."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from liar.evaluate.speed import speed_steps
from liar.models.catalog import LoadedModel
from liar.results import Speed
from tests.tiny import classifier, encoder, language_model


def _drain(loaded: LoadedModel) -> Speed:
    steps = speed_steps(loaded, "reconstructed")
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: Speed = stop.value
            return value


def _wind(patch: pytest.MonkeyPatch, seconds: Iterator[float]) -> None:
    """Let forwards take ``seconds`` one after the other; the clock is read before and after each."""

    def readings() -> Iterator[float]:
        for taken in seconds:
            yield 0.0
            yield taken

    read = readings()
    patch.setattr("liar.evaluate.speed.time", SimpleNamespace(perf_counter=lambda: next(read)))


def test_the_warm_up_does_not_count_and_the_middle_does(monkeypatch: pytest.MonkeyPatch) -> None:
    _wind(monkeypatch, iter([50.0, 1.0, 4.0, 2.0]))
    speed = _drain(language_model())
    assert (speed.seconds, speed.spread, speed.repeats) == (2.0, 1.5, 3)
    assert speed.variant == "reconstructed"


def test_a_quick_model_is_timed_more_often_yet_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    _wind(monkeypatch, iter([0.001] * 100))
    loaded = language_model()
    shapes: list[tuple[int, ...]] = []
    loaded.model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    speed = _drain(loaded)
    assert speed.repeats == 9
    assert shapes == [(1, 128)] * 10


@pytest.mark.parametrize("build", [classifier, encoder])
def test_a_short_model_reads_as_much_as_it_can(build: type[LoadedModel]) -> None:
    assert _drain(build(positions=48)).tokens == 48


def test_timing_can_be_left() -> None:
    steps = speed_steps(language_model())
    assert next(steps) == (1, 9)
    steps.close()
