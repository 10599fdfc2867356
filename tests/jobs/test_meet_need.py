"""A ratio for what is needed: counted, or tried and measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from liar import PruneSpec, run
from liar.errors import InvalidSpecError
from liar.events import Progress
from liar.explore.need import Need
from liar.jobs import meet_need
from liar.jobs.meet_need import meet_steps
from liar.models.loaded import LoadedModel, parameter_count
from liar.progress import finish
from tests import tiny

DENSE = 10.0


@pytest.fixture
def spec(text: str, model: LoadedModel) -> PruneSpec:
    return PruneSpec(model=model.id, calibration=text, tokens=512, sequence_length=32)


@pytest.mark.parametrize("targets", ["ffn", "both"])
@pytest.mark.parametrize("reconstruction", ["none", "least-squares"])
def test_parameters_and_size_are_met_by_the_run(
    spec: PruneSpec, model: LoadedModel, targets: str, reconstruction: str
) -> None:
    choices = {"targets": targets, "reconstruction": reconstruction, "allocation": "uniform", "schedule": "one-shot"}
    spec = spec.model_copy(update=choices)
    before = parameter_count(model.model)
    for need in (Need("parameters", 0.9), Need("size", 4 * 0.9 * before)):
        ratio, trials = finish(meet_steps(need, spec, model))
        assert trials == []
        after = run(spec.model_copy(update={"ratio": ratio}), model).totals.parameters_after
        unit = 3 * 32 + 8 * 32
        assert after <= 0.9 * before + 4 * unit
        assert after >= 0.9 * before - 4 * unit


def losses(monkeypatch: pytest.MonkeyPatch, steepness: float) -> list[float]:
    """Let the perplexity grow with the share of removed parameters; returns the list of what was measured."""
    measured: list[float] = []
    whole = parameter_count(tiny.language_model().model)

    def perplexity(_spec: PruneSpec, loaded: LoadedModel, words: str) -> Iterator[Progress]:
        yield Progress("evaluate", 1, 1, words)
        measured.append(DENSE * math.exp(steepness * (1 - parameter_count(loaded.model) / whole)))
        return measured[-1]

    monkeypatch.setattr(meet_need, "_perplexity", perplexity)
    return measured


@pytest.mark.parametrize(
    ("targets", "steepness"), [("ffn", 0.5), ("ffn", 2.0), ("both", 2.0), ("both", 0.01), ("heads", 0.01)]
)
def test_a_loss_is_tried_until_it_is_met_at_ratios_that_leave_every_site_units(
    spec: PruneSpec, model: LoadedModel, monkeypatch: pytest.MonkeyPatch, targets: str, steepness: float
) -> None:
    measured = losses(monkeypatch, steepness)
    spec = spec.model_copy(update={"targets": targets})
    events: list[Progress] = []
    ratio, trials = finish(meet_steps(Need("loss", 1.1), spec, model), events.append)
    assert events[0].message == "Reading the curves of every site"
    assert any(event.message.startswith("Trying a ratio of 0.") for event in events)
    assert trials
    assert len(measured) == 1 + len(trials) <= 1 + meet_need.TRIES
    assert steepness > 0.01 or ratio == 0.75, "of two groups of heads, more would round to both"
    assert ratio == max(trial.ratio for trial in trials if trial.measured <= 1.1)
    assert [trial.measured * DENSE for trial in trials] == pytest.approx(measured[1:])
    assert model.model.config.intermediate_size == 48, "the dense model stays"


def test_a_loss_that_no_ratio_keeps_names_the_nearest(
    spec: PruneSpec, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses(monkeypatch, 100)
    with pytest.raises(InvalidSpecError, match=r"x the dense perplexity at a ratio of 0\.01; ask for more"):
        finish(meet_steps(Need("loss", 1.05), spec, model))


def test_a_classifier_has_no_perplexity(spec: PruneSpec) -> None:
    with pytest.raises(InvalidSpecError, match="ask for a share of the parameters or a size"):
        finish(meet_steps(Need("loss", 1.2), spec, tiny.classifier()))
