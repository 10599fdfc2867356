"""Measurements of a run: the three variants, changed answers, and speed."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from liar import run, stream
from liar.errors import InsufficientMemoryError
from liar.evaluate.timing import speed
from liar.events import Evaluated
from liar.jobs import pipeline
from liar.models.loaded import LoadedModel
from liar.report.words.sentences import verdict
from liar.results import Evaluation
from liar.tasks.samples import Sample
from tests import tiny
from tests.jobs.conftest import spec


def test_evaluations_of_the_three_variants(model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruned variant has the same mask without a repair; the repaired weights are restored afterwards."""
    seen: dict[str, torch.Tensor] = {}
    ids = torch.arange(4, 24).unsqueeze(0)

    def measure(loaded: LoadedModel, variant: str, _: object):
        with torch.no_grad():
            seen[variant] = loaded.model(ids).logits
        yield 1, 1
        return Evaluation(task="perplexity", metric="perplexity", variant=variant, value=1, n=1, stderr=0)

    exams = {"perplexity": SimpleNamespace(steps=measure, digests=frozenset())}
    monkeypatch.setattr(pipeline, "prepare_all", lambda *_: exams)
    base = {"schedule": "one-shot", "allocation": "uniform", "evaluate": ("perplexity",)}
    events = list(stream(spec(text, **base), model))
    assert sum(isinstance(event, Evaluated) for event in events) == 3
    repaired, pruned = seen["reconstructed"], seen["pruned"]
    list(stream(spec(text, **base, reconstruction="none"), model))
    torch.testing.assert_close(seen["reconstructed"], pruned)
    assert not torch.allclose(repaired, pruned)


@pytest.mark.parametrize(
    ("choices", "read"),
    [({}, (256, "document")), ({"evaluate_length": 24, "separator": "newline"}, (24, "newline"))],
)
def test_a_run_measures_at_the_length_and_with_the_separator_of_its_spec(
    model: LoadedModel, text: str, choices: dict[str, object], read: tuple[int, str]
) -> None:
    measured = run(spec(text, evaluate=("perplexity",), evaluate_limit=4, **choices), model).evaluations
    assert [(item.sequence_length, item.separator) for item in measured] == [read] * 3


def test_a_small_model_is_measured_at_the_length_that_it_has(text: str, letters: list[Sample]) -> None:
    result = run(spec(text, evaluate=("sentiment",), evaluate_limit=20), tiny.classifier(positions=64))
    assert {item.sequence_length for item in result.evaluations} == {64}


def test_some_of_the_dense_models_evaluations_may_be_known(text: str, letters: list[Sample]) -> None:
    """Given the evaluation of the dense model but not of its int8 copy, the run measures what is missing."""
    cheap = {"schedule": "one-shot", "allocation": "uniform", "criterion": "fluctuation"}
    chosen = spec(text, evaluate=("sentiment",), quantize="int8", **cheap)
    model = tiny.classifier(("negative", "positive"))
    whole = run(chosen, model)
    known = [item for item in whole.evaluations if item.variant == "dense"]
    partly = run(chosen, model, dense=known)
    assert partly.evaluations == whole.evaluations
    assert (whole.shared, partly.shared) == ([], ["dense"])


def test_a_classifiers_run_keeps_the_items_whose_answers_changed(text: str, letters: list[Sample]) -> None:
    model = tiny.classifier(positions=256)
    chosen = spec(text, evaluate=("sentiment",), evaluate_limit=40, ratio=0.75, targets="ffn")
    result = run(chosen, model)
    assert result.changes
    assert run(chosen, model).changes == result.changes
    for change in result.changes:
        position = [sample.text for sample in letters].index(change.text)
        assert position < 40
        assert change.label == letters[position].label
        with torch.no_grad():
            logits = model.model(**model.tokenizer(change.text, return_tensors="pt")).logits
        assert change.answers["dense"] == ("negative", "positive")[int(logits.argmax())]
        assert len(set(change.answers.values())) == 2


def test_a_measured_run_is_timed_and_another_is_not(text: str, letters: list[Sample]) -> None:
    model = tiny.classifier(positions=256)
    result = run(spec(text, evaluate=("sentiment",)), model)
    assert [item.variant for item in result.speeds] == ["dense", "reconstructed"]
    assert {item.tokens for item in result.speeds} == {256}
    assert [(item.than, item.variant, item.work) for item in result.gains] == [("dense", "reconstructed", "text")]
    untimed = run(spec(text), model, prompts=["a b c"])
    assert untimed.speeds == untimed.gains == []


class SlowingMachine:
    """A clock that advances only with linear layers: by the number of weights, each time 0.2 % slower than before."""

    def __init__(self) -> None:
        self.now, self.slowness = 0.0, 1.0

    def multiply(self, module: nn.Module, _: object) -> None:
        if isinstance(module, nn.Linear):
            self.now += module.weight.numel() * self.slowness
            self.slowness *= 1.002


@pytest.mark.parametrize("is_given", [True, False])
def test_a_machine_that_slows_down_during_a_run_slows_no_model(
    text: str, letters: list[Sample], monkeypatch: pytest.MonkeyPatch, is_given: bool
) -> None:
    """If the models were timed one after the other, the smaller one would appear slower."""
    machine = SlowingMachine()
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: machine.now))
    load = Mock(side_effect=lambda *_, **__: tiny.classifier(positions=256))
    monkeypatch.setattr(pipeline, "load_model", load)
    model = tiny.classifier(positions=256) if is_given else None
    with register_module_forward_pre_hook(machine.multiply):
        *_, finished = stream(spec(text, evaluate=("sentiment",)), model)
    before, after = (products(item) for item in (tiny.classifier(positions=256), finished.model))
    (gain,) = finished.result.gains
    assert machine.slowness > before / after, "the last model would come out slower than the first"
    assert gain.gain.median == pytest.approx(before / after, rel=0.05)
    assert f"; {gain.gain.median:.2f} times as fast" in verdict(finished.result)
    assert load.call_count == (0 if is_given else 2), "what was pruned in place is loaded once more"


def products(loaded: LoadedModel) -> int:
    """Number of weights of the linear layers, which one forward multiplies."""
    return sum(module.weight.numel() for module in loaded.model.modules() if isinstance(module, nn.Linear))


def test_a_dense_model_that_does_not_fit_beside_its_own_copy_is_not_timed(
    text: str, letters: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = InsufficientMemoryError("The weights need 28.0 GB of memory.")
    monkeypatch.setattr(pipeline, "load_model", Mock(side_effect=[tiny.classifier(positions=256), full]))
    result = run(spec(text, evaluate=("sentiment",)))
    assert len(result.evaluations) == 3
    assert result.gains == result.speeds == []
    assert "does not fit into memory beside the reconstructed one" in result.warnings[-1]
    assert "times as fast" not in verdict(result)


def test_a_streamed_model_is_not_timed(text: str, letters: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timing would measure how fast weights are loaded, not how fast the model computes."""
    streamed = tiny.classifier(positions=256)
    cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    monkeypatch.setattr(pipeline, "load_model", lambda *_, **__: streamed)
    result = run(spec(text, evaluate=("sentiment",), criterion="fluctuation", allocation="uniform"))
    assert len(result.evaluations) == 3
    assert result.speeds == result.gains == []
