"""What a dense model answered is kept, and changes no figure of a run that finds it; anything that decides it asks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from liar import PruneSpec
from liar.errors import StorageError
from liar.evaluate.task_readers import Exam
from liar.jobs import known_dense, measures
from liar.models.loaded import LoadedModel
from liar.results import Generation, RunResult
from liar.store import DenseStore
from liar.tasks.samples import Sample
from tests import tiny
from tests.jobs.conftest import finished, spec

CHEAP = {"schedule": "one-shot", "allocation": "uniform", "criterion": "fluctuation"}


@pytest.fixture
def store(tmp_path: Path) -> DenseStore:
    return DenseStore(tmp_path / "dense")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks and prompts that the dense model answers, in order."""
    seen: list[str] = []
    steps, generate = Exam.steps, measures.generate

    def listed(exam: Exam, loaded: LoadedModel, variant: str, *rest: Any) -> Any:
        seen.extend([exam.task.name] * (variant == "dense"))
        return steps(exam, loaded, variant, *rest)  # type: ignore[arg-type]

    def answered(loaded: LoadedModel, prompt: str, variant: str, **choices: Any) -> Generation:
        seen.extend([prompt] * (variant == "dense"))
        return generate(loaded, prompt, variant, **choices)  # type: ignore[arg-type]

    monkeypatch.setattr(Exam, "steps", listed)
    monkeypatch.setattr(measures, "generate", answered)
    return seen


def measured(run: RunResult) -> tuple[object, ...]:
    """All that a run measures but times."""
    answers = [answer.model_copy(update={"seconds": None}) for answer in run.generations]
    return run.evaluations, run.changes, answers, run.weight_bytes


def language(text: str, **choices: object) -> PruneSpec:
    return spec(text, **{"evaluate": ("perplexity",), "evaluate_limit": 3, **CHEAP, **choices})


def classes(text: str, **choices: object) -> PruneSpec:
    base = {"evaluate": ("sentiment",), "evaluate_limit": 40, "targets": "ffn", "ratio": 0.75}
    return spec(text, **{**base, **CHEAP, **choices})


@pytest.mark.parametrize(
    ("recipe", "make"),
    [(language, tiny.language_model), (classes, tiny.classifier)],
    ids=["a language model", "classes"],
)
def test_a_run_that_finds_the_dense_model_has_the_figures_of_one_that_does_not(
    text: str,
    letters: list[Sample],
    store: DenseStore,
    asked: list[str],
    recipe: Callable[..., PruneSpec],
    make: Callable[[], LoadedModel],
) -> None:
    first = finished(recipe(text), make(), store=store).result
    assert asked == [*recipe(text).evaluate, "a b c"]
    assert first.shared == []
    alone = finished(recipe(text, ratio=0.6), make()).result
    asked.clear()
    again = finished(recipe(text, ratio=0.6), make(), store=store).result
    assert asked == []
    assert again.shared == ["dense"]
    assert measured(again) == measured(alone)
    assert bool(again.changes) == (recipe is classes)
    assert [(gain.than, gain.variant) for gain in again.gains] == [("dense", "reconstructed")], "timed in turns as ever"


@pytest.mark.parametrize(
    "choices",
    [{"evaluate_limit": 4}, {"evaluate_length": 24}, {"separator": "newline"}],
    ids=["more items", "another length", "another separator"],
)
def test_other_items_are_asked_again(
    text: str, store: DenseStore, asked: list[str], model: LoadedModel, choices: dict[str, object]
) -> None:
    finished(language(text), model, store=store)
    asked.clear()
    again = finished(language(text, **choices), model, store=store).result
    assert asked == ["perplexity"]
    assert again.shared == ["dense"], "the answer to the prompt was known"


def test_a_text_that_changed_is_asked_again(
    text: str, store: DenseStore, asked: list[str], model: LoadedModel, tmp_path: Path
) -> None:
    own = tmp_path / "own.txt"
    for words in ("a b c d e f g h " * 200, "a b c d e f g i " * 200):
        own.write_text(words)
        finished(language(text, data=str(own), evaluate_length=32), model, store=store)
    assert asked == ["perplexity", "a b c", "perplexity"]


def test_labels_that_changed_are_asked_again(
    text: str, store: DenseStore, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for labels in (("negative", "positive"), ("positive", "negative")):
        samples = [Sample(item.text, labels[item.label == "positive"]) for item in tiny.labelled_letters(12)]
        tiny.replace_demo_samples(monkeypatch, samples)
        finished(classes(text), tiny.classifier(), store=store)
    assert asked == ["sentiment", "a b c", "sentiment"]


def _one_weight(model: LoadedModel) -> None:
    with torch.no_grad():
        model.model.get_output_embeddings().weight[5, 7] += 1e-3


def _config(model: LoadedModel) -> None:
    model.model.config.rms_norm_eps *= 2


def _end(model: LoadedModel) -> None:
    model.model.generation_config.eos_token_id = 9


def _tokenizer(model: LoadedModel) -> None:
    model.tokenizer.add_tokens(["word"])


@pytest.mark.parametrize("change", [_one_weight, _config, _end, _tokenizer])
def test_another_model_is_asked_again(
    text: str, store: DenseStore, asked: list[str], change: Callable[[LoadedModel], None]
) -> None:
    finished(language(text), tiny.language_model(), store=store)
    other = tiny.language_model()
    change(other)
    finished(language(text), other, store=store)
    assert asked == ["perplexity", "a b c"] * 2


@pytest.mark.parametrize("name", ["describe", "versions"])
def test_another_machine_asks_again(
    text: str, store: DenseStore, asked: list[str], model: LoadedModel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    finished(language(text), model, store=store)
    here = getattr(known_dense, name)
    monkeypatch.setattr(known_dense, name, lambda *model: here(*model) | {"threads": "99"})
    if name == "describe":  # what decides the bits has the threads as well
        monkeypatch.setattr(known_dense, "versions", dict)
    finished(language(text), model, store=store)
    assert asked == ["perplexity", "a b c"] * 2


def test_a_longer_answer_and_one_without_scores_are_asked_again(
    text: str, store: DenseStore, asked: list[str], model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(spec(text, **CHEAP), model, store=store)
    finished(spec(text, **CHEAP), model, store=store, max_new_tokens=4)
    monkeypatch.setattr("liar.jobs.pipeline.load_model", lambda *_, **__: tiny.language_model())
    last = finished(spec(text, **CHEAP), None, store=store).result
    assert last.generations[0].dense_perplexity is None
    assert asked == ["a b c"] * 3


def test_nothing_is_known_with_a_tokenizer_without_rules(
    store: DenseStore, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(model.tokenizer), "backend_tokenizer", None)
    assert known_dense.KnownDense.of(store, model) is None


def test_what_is_damaged_or_cannot_be_kept_costs_time_only(
    text: str, store: DenseStore, asked: list[str], model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished(language(text), model, store=store).result
    for path in store.folder.iterdir():
        path.write_text("{")
    monkeypatch.setattr(DenseStore, "save", Mock(side_effect=StorageError("The disk is full.")))
    again = finished(language(text), model, store=store).result
    assert asked == ["perplexity", "a b c"] * 2
    assert measured(again) == measured(first)
