"""Questions to models restored from a stored run, and the prompts and lengths that fit a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import liar
from components.shared.job_bodies import measured, prompts_for
from components.shared.prompts import preset_prompts
from liar import PruneSpec
from liar.models.loaded import LoadedModel
from liar.results import RunResult
from liar.store import RunStore
from server.model_registry import ModelRegistry
from tests import tiny
from tests.components.answering import VISITOR, Page
from tests.fakes import language_run


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(RunStore(tmp_path / "runs", shipped=tmp_path / "shipped"))
    page.build(language_run())
    yield page
    page.jobs.close()


Prune = Callable[[LoadedModel], RunResult]


@pytest.fixture
def pruned(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prune:
    """Make a stored run whose models are not in memory; any further pruning, scoring or measuring raises."""
    text = tmp_path / "letters.txt"
    text.write_text("\n\n".join(" ".join(tiny.LETTERS[start:]) for start in range(20)))

    def fails(*_: Any, **__: Any) -> Any:
        raise AssertionError("a restored model is neither measured nor pruned again")

    def prune(dense: LoadedModel) -> RunResult:
        given = {
            "criterion": "obs",
            "allocation": "uniform",
            "calibration": str(text),
            "tokens": 256,
            "sequence_length": 16,
        }
        result = liar.run(PruneSpec.create(model=dense.id, **given), dense)
        page.store.save(result)
        page.registry = ModelRegistry(10**9, lambda *_: dense)
        for name in (
            "jobs.pipeline.stream",
            "calibration.calibrate.score",
            "evaluate.exam.Exam.steps",
            "jobs.measures.generate",
        ):
            monkeypatch.setattr(f"liar.{name}", fails)
        return result

    return prune


def test_one_click_brings_the_models_back_and_asks_them(page: Page, pruned: Prune) -> None:
    result = pruned(tiny.language_model())
    updates = page.ask(result)
    lines = [page.line(update) for update in updates]
    assert updates[0][page.panel.work.stop]["interactive"]
    assert "Done." in lines[-1], lines
    live = updates[-1][page.panel.live]
    for variant in ("dense", "pruned", "reconstructed"):
        assert f'class="variant {variant}"' in live
    kept = page.registry.variants(result.spec.key)
    assert kept is not None
    with kept.using("reconstructed") as loaded:
        widths = [loaded.adapter.consumer(site).in_features for site in loaded.adapter.sites("ffn")]
    assert widths == [site.kept for site in result.sites]
    page.registry.get = None  # type: ignore[method-assign, assignment]
    assert "Done." in page.line(page.ask(result, "c b a")[-1]), "the second question finds them"


def test_stop_ends_it_while_the_models_come_back(page: Page, pruned: Prune) -> None:
    result = pruned(tiny.language_model())
    load, gate = page.registry.get, Event()

    def slow(*names: str) -> LoadedModel:
        gate.wait(10)
        return load(*names)

    page.registry.get = slow  # type: ignore[method-assign]
    watching = page.panel.ask(result.spec.key, "a b c", 8, 0, 0, VISITOR)
    page.panel.work.end(next(watching)[page.panel.work.job], VISITOR)
    gate.set()
    *_, last = watching
    assert "Stopped." in page.line(last)
    assert last[page.panel.work.button]["interactive"]
    assert page.registry.variants(result.spec.key) is None


def test_a_head_that_no_task_knows_answers_all_the_same(page: Page, pruned: Prune) -> None:
    dense = tiny.classifier(("entailment", "neutral", "contradiction"))
    assert dense.task is None
    result = pruned(dense)
    assert not result.evaluations
    controls = page.panel.show(result)
    assert controls[page.panel.work.button]["value"] == "Ask"
    live = page.ask(result)[-1][page.panel.live]
    assert live.count("<dt>entailment</dt>") + live.count("<strong>entailment</strong>") == 3


def test_a_run_of_such_a_head_asks_its_presets() -> None:
    dense = tiny.classifier(("entailment", "neutral", "contradiction"))
    assert prompts_for(PruneSpec(model=dense.id), dense) == preset_prompts("demo/minilm-sentiment")
    assert prompts_for(PruneSpec(model="tiny/encoder"), tiny.encoder()) == []


def test_presets_that_do_not_fit_a_small_model_are_not_asked() -> None:
    small, large = tiny.language_model(positions=50), tiny.language_model()
    assert prompts_for(PruneSpec(model=small.id), small) == []
    assert prompts_for(PruneSpec(model=large.id), large)


def test_a_small_model_is_calibrated_at_the_length_that_it_has() -> None:
    """The page has no control for the sequence length."""
    spec = PruneSpec(model="tiny/bert", evaluate=("sentiment",))
    assert measured(spec, tiny.classifier(positions=64)) == spec.model_copy(update={"sequence_length": 64})
    assert measured(spec, tiny.classifier(positions=256)) == spec


def test_a_model_without_a_head_is_one_sentence_before_any_work(
    page: Page, pruned: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = pruned(tiny.encoder())
    monkeypatch.setattr("liar.jobs.restore.restore_steps", None)
    assert "so it cannot answer" in page.line(page.ask(result)[-1])
