"""A ratio for what is needed: counted, or tried and measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache

from liar import PruneSpec, run
from liar.errors import InvalidSpecError
from liar.events import Progress
from liar.explore.need import Need
from liar.explore.sizes import cached_left
from liar.jobs import meet_need
from liar.jobs.meet_need import meet_steps, sizes_of
from liar.models.families import adapt
from liar.models.loaded import LoadedModel, parameter_count
from liar.progress import finish
from tests import tiny
from tests.families import DECODERS, build

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
        met = finish(meet_steps(need, spec, model))
        assert not met.trials
        after = run(met.spec, model).totals.parameters_after
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
    met = finish(meet_steps(Need("loss", 1.1), spec, model), events.append)
    ratio, trials = met.spec.ratio, met.trials
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


def kept_numbers(loaded: LoadedModel, tokens: int) -> int:
    """Numbers in the keys and values that a forward over so many tokens keeps."""
    model, cache = loaded.model, DynamicCache(config=loaded.model.config)
    model(torch.arange(tokens).view(1, -1) % 20 + 4, past_key_values=cache, use_cache=True)
    return sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)


@pytest.mark.parametrize("targets", ["ffn", "heads"])
@pytest.mark.parametrize("layers", [0.0, 0.34])
def test_memory_counts_weights_and_what_a_text_keeps(text: str, targets: str, layers: float) -> None:
    model = tiny.language_model(layers=6)
    choices = {"targets": targets, "layers": layers, "allocation": "uniform", "reconstruction": "none"}
    spec = PruneSpec(model=model.id, calibration=text, tokens=512, sequence_length=32, **choices)
    whole = 4 * (parameter_count(model.model) + kept_numbers(model, 50))
    need = Need("memory", (0.75 if layers or targets == "ffn" else 0.9) * whole, 50)
    met = finish(meet_steps(need, spec, model))
    pruned, _ = tiny.finished(met.spec, model)
    assert pruned.model is not None
    left = 4 * (parameter_count(pruned.model.model) + kept_numbers(pruned.model, 50))
    assert left <= need.amount
    assert f"{left / 1e6:.1f} MB with the keys and values of 50 tokens" in met.words


@pytest.mark.parametrize("name", DECODERS)
def test_the_keys_and_values_of_every_family_are_counted(name: str) -> None:
    loaded = replace(tiny.language_model(), model=build(name))
    loaded.adapter = adapt(loaded.model)
    sizes, states = sizes_of(loaded), [loaded.adapter.state_of(layer) for layer in range(len(loaded.adapter.layers))]
    if any(states):
        assert set(sizes.windows or ()) == {0 if state else None for state in states}
        return
    for tokens in (5, 40):
        kept, at_window = kept_numbers(loaded, tokens), sum(window is not None for window in sizes.windows or ())
        assert 0 <= cached_left(PruneSpec(), sizes, 0.0, tokens) - kept <= at_window * sizes.cached


def test_a_need_spreads_over_layers_and_neurons_and_in_an_encoder_over_heads(spec: PruneSpec) -> None:
    model = tiny.language_model(layers=6)
    for share, layers in ((0.95, 0), (0.8, 1), (0.5, 2)):
        met = finish(meet_steps(Need("parameters", share), spec, model, spreads=True))
        assert round(6 * met.spec.layers) == layers
        totals = run(met.spec, model).totals
        assert totals.parameters_after <= share * totals.parameters_before + 32
    assert met.words.startswith("2 of 6 layers, then a ratio of 0.")
    encoder = finish(meet_steps(Need("parameters", 0.8), spec, tiny.classifier(), spreads=True)).spec
    assert encoder == spec.model_copy(update={"targets": "both"}).at(encoder.ratio)
