"""The timing of two models in turns, on a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from liar.evaluate.answering.side_by_side import REPEATS, Pair, reading_steps
from liar.models.loaded import LoadedModel
from liar.progress import finish
from tests.tiny import classifier, encoder, language_model


def read(first: LoadedModel, second: LoadedModel) -> Pair:
    return finish(reading_steps({"dense": first, "reconstructed": second}))


def _clock(patch: pytest.MonkeyPatch, seconds: Iterator[float]) -> None:
    """Replace the clock so that successive forwards take ``seconds``; it is read before and after each."""

    def readings() -> Iterator[float]:
        for taken in seconds:
            yield 0.0
            yield taken

    read = readings()
    patch.setattr("liar.evaluate.timing.speed.time", SimpleNamespace(perf_counter=lambda: next(read)))


def test_a_machine_that_becomes_slower_makes_no_model_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second model takes half as long as the first in every turn, while both take longer from turn to turn."""
    _clock(monkeypatch, iter([50.0, 70.0, *(seconds for turn in range(1, 8) for seconds in (2.0 * turn, 1.0 * turn))]))
    pair = read(language_model(), language_model())
    assert (pair.gain.gain.lower, pair.gain.gain.median, pair.gain.gain.upper) == (2, 2, 2)
    assert (pair.gain.than, pair.gain.variant, pair.gain.repeats) == ("dense", "reconstructed", REPEATS)
    first, second = pair.speeds
    assert (first.variant, first.seconds, first.spread) == ("dense", 8.0, 6.0)
    assert (second.variant, second.seconds, second.spread) == ("reconstructed", 4.0, 3.0)


def test_a_language_model_reads_a_prompt_and_writes_nothing() -> None:
    shapes: list[tuple[int, ...]] = []
    dense = language_model()
    dense.model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    pair = read(dense, language_model())
    assert pair.gain.work == "prompt"
    assert shapes == [(1, 256)] * (REPEATS + 1)


@pytest.mark.parametrize("build", [classifier, encoder])
def test_a_short_model_reads_as_much_as_it_can(build: Any) -> None:
    pair = read(build(positions=48), build(positions=48))
    assert (pair.gain.work, pair.gain.tokens) == ("text", 48)
    assert {speed.tokens for speed in pair.speeds} == {48}


def test_timing_can_be_left() -> None:
    steps = reading_steps({"dense": language_model(), "reconstructed": language_model()})
    assert next(steps) == (1, 2 * (REPEATS + 1))
    steps.close()
