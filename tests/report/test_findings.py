"""Sentences on what a run found beside its metrics."""

from __future__ import annotations

from liar.report.words.findings import findings
from liar.results import ModelInfo, RunResult, Totals
from liar.spec import PruneSpec


def result(**found: object) -> RunResult:
    totals = Totals(parameters_before=2, parameters_after=1, block_parameters_before=2, block_parameters_after=1)
    model = ModelInfo.model_construct(id="tiny")
    return RunResult.model_construct(spec=PruneSpec(), model=model, sites=[], totals=totals, **found)


def test_a_changed_gain_is_one_sentence() -> None:
    assert findings(result()) == []
    (sentence,) = findings(result(attenuation=0.9286))
    assert sentence.startswith("The gain of the last norm is 0.93 times the dense one")
