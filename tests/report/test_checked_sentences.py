"""The sentence on the candidates of ``checked``: what was predicted for each beside what was measured."""

from __future__ import annotations

from liar.report.checked_sentences import checked
from liar.report.findings import findings
from liar.results import CheckedAllocation
from tests.fakes import language_run


def tried(**divergences: float) -> list[CheckedAllocation]:
    return [CheckedAllocation(name=name, predicted=2 * value, measured=value) for name, value in divergences.items()]


def test_the_nearest_is_named_first_with_both_figures_of_each() -> None:
    run = language_run().model_copy(update={"checked": tried(uniform=0.5, blend=0.25)})
    sentence = checked(run)
    assert sentence is not None
    assert sentence.startswith("Of 2 allocations blend is the nearest")
    assert "0.25 nats (the curves predicted 0.5); uniform 0.5 (1)." in sentence
    assert sentence in findings(run)


def test_equal_candidates_are_one() -> None:
    run = language_run().model_copy(update={"checked": tried(uniform=0.5)})
    assert checked(run) == "All allocations compared are the same as uniform."


def test_other_allocations_say_nothing() -> None:
    assert checked(language_run()) is None
