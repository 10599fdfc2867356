"""The estimated time left of a job, with a clock that the tests move."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from benchmarks.estimates import LIMIT, read, shown, worst_factor
from liar.events import Progress
from liar.jobs.plan import adjusted
from liar.progress import MOST_RISE, Pace, Part

TIMELINES = Path(__file__).parent / "timelines"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_left_is_the_plan_at_the_pace_seen(clock: Clock) -> None:
    """A job twice as slow as planned so far is expected to stay so."""
    pace = Pace([Part("read", 10, "same"), Part("prune", 30, "same")], clock=clock)
    begun = pace.at("read", "calibrate", 0, 4, "Reading")
    assert (begun.seconds_left, begun.share) == (None, None), "nothing has been timed"
    clock.now += 10
    half = pace.at("read", "calibrate", 2, 4, "Reading")
    assert half.seconds_left == pytest.approx(2 * 5 + 2 * 30)
    assert half.share == pytest.approx(10 / 80)
    clock.now += 10 + 60
    assert (pace.at("prune", "prune", 3, 3, "Pruned").seconds_left, pace.seconds_left) == (0, 0)


def test_a_kind_of_work_keeps_its_own_pace(clock: Clock) -> None:
    """A fast evaluation of the dense model predicts fast later evaluations, however slow the pruning was."""
    parts = [Part("dense", 100, "evaluate"), Part("prune", 100, "walk"), Part("pruned", 100, "evaluate")]
    pace = Pace(parts, clock=clock)
    clock.now += 10
    pace.at("dense", "evaluate", 1, 1, "")
    clock.now += 100
    left = pace.at("prune", "prune", 1, 1, "").seconds_left
    assert left == pytest.approx(10, rel=0.35)


def test_parts_that_are_passed_over_take_nothing(clock: Clock) -> None:
    pace = Pace([Part("read", 10), Part("never", 1_000), Part("prune", 10)], clock=clock)
    clock.now += 10
    pace.at("read", "calibrate", 1, 1, "")
    clock.now += 5
    assert pace.at("prune", "prune", 1, 2, "").seconds_left == pytest.approx(5, rel=0.01)


def test_the_share_never_falls_when_a_part_is_slower_than_planned(clock: Clock) -> None:
    pace = Pace([Part("quick", 10), Part("slow", 10)], clock=clock)
    clock.now += 1
    shares = [pace.at("quick", "calibrate", 1, 1, "").share]
    for done in range(1, 11):
        clock.now += 10
        shares.append(pace.at("slow", "prune", done, 10, "").share)
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert shares[-1] == 1


def test_a_job_within_a_job_reports_on_the_whole(clock: Clock) -> None:
    def inner() -> Generator[Progress | str, None, str]:
        pace = Pace([Part("sites", 1.0)], clock=clock)
        for done in (1, 2):
            clock.now += 5
            yield pace.at("sites", "prune", done, 2, "Pruned")
        yield "between"
        return "models"

    whole = Pace([Part("restore", 10), Part("then", 20)], clock=clock)
    events = whole.within("restore", inner())
    first, second, between = next(events), next(events), next(events)
    assert (first.done, first.total, first.seconds_left) == (1, 2, pytest.approx(5 + 20))
    assert (second.seconds_left, between) == (pytest.approx(20), "between")
    with pytest.raises(StopIteration, match="models"):
        next(events)


def test_steps_that_count_go_on_the_bar_of_the_job(clock: Clock) -> None:
    def steps() -> Generator[tuple[int, int], None, str]:
        for done in (32, 64):
            clock.now += 1
            yield done, 64
        return "value"

    pace = Pace([Part("cell", 2), Part("another", 2)], clock=clock)
    events = list(pace.along("cell", steps(), "evaluate", "Measuring", pieces=(1, 6)))
    assert [step.message for step in events] == ["Measuring", "Measuring, 32 of 64", "Measuring, 64 of 64"]
    assert {(step.done, step.total) for step in events} == {(1, 6)}
    assert [step.seconds_left for step in events] == [None, pytest.approx(3), pytest.approx(2)]


def test_stored_times_set_the_proportions() -> None:
    """The evaluation of the earlier run took three times its planned time; its time of pruning is unknown."""
    earlier = [Part("prune", 10, "walk"), Part("dense topic", 10, "evaluate"), Part("timing", 0.0, "timing")]
    now = [Part("prune", 20, "walk"), Part("dense topic", 5, "evaluate")]
    assert [part.cost for part in adjusted(now, earlier, {"evaluate": 30.0})] == [20, 15]


@pytest.mark.parametrize("path", sorted(TIMELINES.glob("*.json")), ids=lambda path: path.stem)
def test_from_a_fifth_of_a_real_run_on_the_estimate_is_within_a_factor_of_two_and_never_rises_by_a_third(
    path: Path,
) -> None:
    """The timelines come from ``python benchmarks/estimates.py --record tests/timelines`` and replay with their own clock."""
    timeline = read(path)
    factor, where = worst_factor(timeline)
    assert factor <= LIMIT, where
    assert_no_rise([left for _, _, left in shown(timeline)])


def test_an_estimate_never_rises_by_more_than_a_third(clock: Clock) -> None:
    """The first kind of work is done in no time, the second takes a hundred times what was planned."""
    pace = Pace([Part("quick", 10, "a"), Part("slow", 10, "b"), Part("rest", 80, "c")], clock=clock)
    clock.now += 1
    lefts = [pace.at("quick", "calibrate", 1, 1, "").seconds_left]
    for done in range(1, 11):
        clock.now += 100
        lefts.append(pace.at("slow", "prune", done, 10, "").seconds_left)
    assert lefts[0] == pytest.approx(9)
    assert lefts[-1] == pytest.approx(12)
    assert_no_rise(lefts)


def assert_no_rise(lefts: list[float | None]) -> None:
    least = float("inf")
    for left in lefts:
        if left is not None:
            assert left <= MOST_RISE * least + 1e-9
            least = min(least, left)
