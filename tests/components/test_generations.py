"""Stored answers, and new questions to models in memory or restored; texts never become markup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import gradio as gr
import pytest
import torch

import liar.jobs.pipeline
import liar.jobs.restore
from components.measured.generations import MAX_SEED, GenerationsPanel
from components.shared.job_bodies import measured, preset_prompts, prompts_for
from components.shared.panel import Updates
from components.shared.studio import Bus, Studio
from liar.evaluate.answering import ask as asking
from liar.evaluate.answering.ask import PartialAnswer
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.report.view import View
from liar.report.words.examples import examples
from liar.results import Generation, RunResult, Token, Variant
from liar.spec import PruneSpec
from server.model_registry import ModelRegistry
from server.profile import LOCAL
from tests import tiny
from tests.components.visitor import VISITOR
from tests.fakes import classifier_run, language_run

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def panel(studio: Studio) -> GenerationsPanel:
    """The panel with a run and with tiny models that answer."""
    return build(replace(studio, registry=ModelRegistry(10**9, lambda *_: tiny.language_model())), language_run())


def build(studio: Studio, run: RunResult | None) -> GenerationsPanel:
    with gr.Blocks():
        return GenerationsPanel(studio, Bus(PruneSpec(), View(), ""), run)


def ask(
    panel: GenerationsPanel, run: RunResult, prompt: str = "a b c", tokens: Any = 8, temperature: Any = 0, seed: Any = 0
) -> list[Updates]:
    return list(panel.ask(run.spec.key, prompt, tokens, temperature, seed, VISITOR))


def line(panel: GenerationsPanel, updates: Updates) -> str:
    return str(updates.get(panel.work.status, ""))


def three(make: Callable[[], LoadedModel] = tiny.language_model) -> Variants:
    """A dense model, and a pruned one with changed weights and hence other answers."""
    dense, pruned = make(), make()
    torch.manual_seed(1)
    for parameter in pruned.model.parameters():
        parameter.add_(torch.randn_like(parameter))
    return Variants(pruned, dense)


def answer(variant: Variant, text: str, **more: Any) -> Generation:
    return Generation(prompt="Hello", variant=variant, text=text, **more)


def stored(panel: GenerationsPanel, *generations: Generation) -> str:
    run = language_run().model_copy(update={"generations": list(generations)})
    return str(panel.show(run.spec, run)[panel.stored])


# -- stored answers -----------------------------------------------------------------------------------------------------


def test_the_stored_answers_are_there_at_first_paint(panel: GenerationsPanel) -> None:
    for text in ("The capital of France is", "dense.", "pruned.", "reconstructed."):
        assert text in panel.stored.value
    assert "The first question takes longer" in panel.work.status.value
    assert "No run" not in build(panel.studio, None).stored.value


def test_it_shows_the_controls_of_the_model(panel: GenerationsPanel) -> None:
    for run, writes in ((language_run(), True), (classifier_run(), False)):
        updates = panel.show(run.spec, run)
        assert updates[panel.settings]["visible"] == updates[panel.colour]["visible"] == writes
        assert updates[panel.examples].count("data-example") == len(examples(run))
    assert "86.3 %" in updates[panel.stored]
    assert "positive" in updates[panel.stored]


def test_the_first_difference_is_marked_with_more_than_colour(panel: GenerationsPanel) -> None:
    dense = answer("dense", "one two three", tokens=[Token(text=text) for text in ("one", " two", " three")])
    pruned = answer("pruned", "one two four", tokens=[Token(text=text) for text in ("one", " two", " four")])
    markup = stored(panel, dense, pruned)
    assert markup.count("<mark>") == 1
    assert '<mark><span class="flag" role="img" aria-label="first difference">▸</span> four</mark>' in markup
    older = stored(panel, answer("dense", "one two three"), answer("pruned", "one too three"))
    assert "</span>too </mark>three" in older, "without tokens a word is marked"


def test_equal_and_shorter_answers_are_marked(panel: GenerationsPanel) -> None:
    same = stored(panel, answer("dense", "one two"), answer("pruned", "one two"))
    assert "<mark>" not in same
    assert "Same text as dense" in same
    shorter = stored(panel, answer("dense", "one two"), answer("pruned", "one"))
    assert "first difference" in shorter
    assert "Same text" not in shorter
    empty = stored(panel, answer("dense", "one two"), answer("pruned", ""))
    assert "ends its answer at once" in empty


def test_figures_and_probabilities_stand_with_an_answer(panel: GenerationsPanel) -> None:
    tokens = [Token(text="rare", probability=0.004), Token(text=" sure", probability=0.97)]
    markup = stored(panel, answer("dense", "rare sure", tokens=tokens, seconds=0.5, dense_perplexity=12.34))
    assert 'class="p3" title="probability 0.004 under the dense model">rare<' in markup
    assert 'class="p0"' in markup
    assert "4.0 tokens a second" in markup
    assert "Perplexity 12.3, as the dense model sees it" in markup


def test_generated_markup_stays_text(panel: GenerationsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [Token(text=NASTY, probability=0.5)]
    spoken = [
        Generation(prompt=NASTY, variant="dense", text=NASTY, tokens=tokens),
        Generation(prompt=NASTY, variant="pruned", text=f"a {NASTY}"),
    ]
    labelled = [Generation(prompt=NASTY, variant="dense", probabilities={NASTY: 1.0})]
    handed_out = (PartialAnswer("dense", NASTY), *labelled)
    monkeypatch.setattr(asking, "ask", lambda *_, **__: (item for item in handed_out))
    panel.studio.registry.keep(language_run().spec.key, three())
    live = ask(panel, language_run(), NASTY)[-1][panel.live]
    for markup in (stored(panel, *spoken), stored(panel, *labelled), live):
        assert "<img" not in markup
        assert "&lt;img" in markup


# -- new questions -------------------------------------------------------------------------------------------------


def test_three_columns_come_one_after_the_other(panel: GenerationsPanel) -> None:
    run, work = language_run(), panel.work
    panel.studio.registry.keep(run.spec.key, three())
    first, *_, last = ask(panel, run, tokens=12)
    assert [first[each]["interactive"] for each in (work.button, work.stop)] == [False, True]
    assert [last[each]["interactive"] for each in (work.button, work.stop)] == [True, False]
    assert "Done" in line(panel, last)
    live = last[panel.live]
    for variant in ("dense", "pruned", "reconstructed"):
        assert f'class="variant {variant}"' in live
    assert live.count("as the dense model sees it") == 3
    assert live.count("tokens a second") == 3
    assert live.count("first difference") == 2


def test_classifiers_give_each_label_its_probability(panel: GenerationsPanel) -> None:
    run = classifier_run()
    panel = build(panel.studio, run)
    panel.studio.registry.keep(run.spec.key, three(tiny.classifier))
    live = ask(panel, run, "a b c d")[-1][panel.live]
    assert live.count("<dt>") == 6  # two labels of three variants


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"prompt": " \n"}, "empty"),
        ({"prompt": "x" * (LOCAL.prompt_characters + 1)}, "longer than"),
        ({"tokens": 7}, "number of new tokens"),
        ({"tokens": 201}, "number of new tokens"),
        ({"tokens": None}, "number of new tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"seed": MAX_SEED + 1}, "seed"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_value_outside_its_control_is_a_sentence_and_no_job(
    panel: GenerationsPanel, choices: dict[str, Any], words: str
) -> None:
    panel.studio.registry.keep(language_run().spec.key, three())
    (update,) = ask(panel, language_run(), **choices)  # a job would answer more than once
    assert 'role="alert"' in line(panel, update)
    assert words in line(panel, update)


def test_a_run_that_is_not_kept_is_a_sentence(panel: GenerationsPanel) -> None:
    for key, words in ((language_run().spec.key, "not kept here"), ("", "No run of this recipe")):
        (update,) = panel.ask(key, "a b c", 8, 0, 0, VISITOR)
        assert words in line(panel, update)


def test_models_of_a_run_that_could_not_be_stored_answer_while_in_memory(panel: GenerationsPanel) -> None:
    run = language_run()
    panel.studio.registry.keep(run.spec.key, three())
    gate = Event()
    panel.studio.jobs.submit("somebody", "first", "First", lambda: iter([gate.wait(10)]))
    watching = panel.ask(run.spec.key, "a b c", 8, 0, 0, VISITOR)
    assert "Asking the models" in line(panel, next(watching))
    panel.studio.registry.max_bytes = 1
    panel.studio.registry.get("another", "cpu", "float32")
    gate.set()
    *_, last = watching
    assert "not kept here" in line(panel, last)
    assert last[panel.work.button]["interactive"]


def test_stop_keeps_the_answers_so_far(panel: GenerationsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, closed = Event(), Event()

    def slow(*_: Any, **__: Any) -> Iterator[PartialAnswer]:
        try:
            yield PartialAnswer("dense", "one ")
            yield PartialAnswer("dense", "two ")
            gate.wait(10)
            yield PartialAnswer("dense", "three")
        finally:
            closed.set()

    monkeypatch.setattr(asking, "ask", slow)
    panel.studio.registry.keep(language_run().spec.key, three())
    watching = panel.ask(language_run().spec.key, "a b c", 8, 0, 0, VISITOR)
    id = next(watching)[panel.work.job]
    last: Updates = {}
    for last in watching:
        if "two" in str(last.get(panel.live, "")) and not gate.is_set():
            panel.work.end(id, VISITOR)
            gate.set()
    assert closed.wait(10)
    assert "Stopped" in line(panel, last)
    assert "one two" in last[panel.live]
    assert last[panel.work.button]["interactive"]


def test_another_run_stops_the_questions_and_clears_the_answers_but_not_an_own_prompt(panel: GenerationsPanel) -> None:
    gate, run = Event(), classifier_run()
    panel.studio.store.save(run)
    first = examples(run)[0].prompt
    panel.studio.jobs.submit("somebody", "first", "First", lambda: iter([gate.wait(10)]))
    asked = panel.studio.jobs.submit("visitor", "asked", "Asked", lambda: iter([]))
    of_run = (panel.offered.value, run.spec.key, run.spec, VISITOR)
    cleared = panel.change_run(asked.facts.id, panel.offered.value[-1], *of_run)
    assert panel.studio.jobs.snapshot(asked).state == "stopped"
    gate.set()
    assert cleared[panel.prompt] == first
    assert "Cut" in cleared[panel.live], "the stored answers to it"
    assert panel.change_run("", first, *of_run)[panel.prompt] == gr.skip(), "the visitor may be writing"
    own = panel.change_run("", "My own words", *of_run)
    assert (own[panel.prompt], own[panel.live]) == (gr.skip(), "")


# -- models restored from a stored run ----------------------------------------------------------------------------------


Prune = Callable[[LoadedModel], RunResult]


@pytest.fixture
def pruned(panel: GenerationsPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prune:
    """Make a stored run whose models are not in memory; any further pruning, scoring or measuring raises."""
    text = tiny.letters_file(tmp_path)
    again = Mock(side_effect=AssertionError("a restored model is neither measured nor pruned again"))

    def prune(dense: LoadedModel) -> RunResult:
        given = {"criterion": "obs", "allocation": "uniform", "tokens": 256, "sequence_length": 16}
        result = liar.run(PruneSpec.create(model=dense.id, calibration=text, **given), dense)
        panel.studio.store.save(result)
        panel.studio = replace(panel.studio, registry=ModelRegistry(10**9, lambda *_: dense))
        for name in (
            "jobs.pipeline.stream",
            "calibration.calibrate.score",
            "evaluate.task_readers.Exam.steps",
            "jobs.measures.generate",
        ):
            monkeypatch.setattr(f"liar.{name}", again)
        return result

    return prune


def test_one_click_brings_the_models_back_and_asks_them(panel: GenerationsPanel, pruned: Prune) -> None:
    result = pruned(tiny.language_model())
    updates = ask(panel, result)
    lines = [line(panel, update) for update in updates]
    assert updates[0][panel.work.stop]["interactive"]
    assert "Done." in lines[-1], lines
    live = updates[-1][panel.live]
    for variant in ("dense", "pruned", "reconstructed"):
        assert f'class="variant {variant}"' in live
    kept = panel.studio.registry.variants(result.spec.key)
    assert kept is not None
    with kept.using("reconstructed") as loaded:
        widths = [loaded.adapter.consumer(site).in_features for site in loaded.adapter.sites("ffn")]
    assert widths == [site.kept for site in result.sites]
    panel.studio.registry.get = None  # type: ignore[method-assign, assignment]
    assert "Done." in line(panel, ask(panel, result, "c b a")[-1]), "the second question finds them"


def test_stop_ends_it_while_the_models_come_back(panel: GenerationsPanel, pruned: Prune) -> None:
    result = pruned(tiny.language_model())
    load, gate = panel.studio.registry.get, Event()

    def slow(*names: str) -> LoadedModel:
        gate.wait(10)
        return load(*names)

    panel.studio.registry.get = slow  # type: ignore[method-assign]
    watching = panel.ask(result.spec.key, "a b c", 8, 0, 0, VISITOR)
    panel.work.end(next(watching)[panel.work.job], VISITOR)
    gate.set()
    *_, last = watching
    assert "Stopped." in line(panel, last)
    assert last[panel.work.button]["interactive"]
    assert panel.studio.registry.variants(result.spec.key) is None


def test_a_head_that_no_task_knows_answers_all_the_same(panel: GenerationsPanel, pruned: Prune) -> None:
    dense = tiny.classifier(("entailment", "neutral", "contradiction"))
    assert dense.task is None
    result = pruned(dense)
    assert not result.evaluations
    controls = panel.show(result.spec, result)
    assert controls[panel.work.button]["value"] == "Ask"
    live = ask(panel, result)[-1][panel.live]
    assert live.count("<dt>entailment</dt>") + live.count("<strong>entailment</strong>") == 3


def test_a_run_asks_the_presets_that_its_model_can_answer() -> None:
    classifier, large = tiny.classifier(("entailment", "neutral", "contradiction")), tiny.language_model()
    assert prompts_for(PruneSpec(model=classifier.id), classifier) == preset_prompts("demo/minilm-sentiment")
    assert prompts_for(PruneSpec(model=large.id), large)
    for mute in (tiny.mute(), tiny.language_model(positions=50)):  # no answers, and no room for a preset
        assert prompts_for(PruneSpec(model=mute.id), mute) == []


def test_a_run_on_own_items_asks_the_first_of_them(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    rows = [{"text": f"Question {number}?", "second": f"Answer {number}.", "label": "neutral"} for number in range(5)]
    items.write_text("\n".join(map(json.dumps, rows)))
    classifier = tiny.classifier(("entailment", "neutral", "contradiction"))
    for columns, prompts in (
        ("text", [f"Question {number}?" for number in range(3)]),
        ("text,second", [f"Question {number}?\nAnswer {number}." for number in range(3)]),
    ):
        spec = PruneSpec(model=classifier.id, evaluate=("own",), data=f"{items}#{columns}")
        assert prompts_for(spec, classifier) == prompts


def test_a_small_model_is_calibrated_at_the_length_that_it_has() -> None:
    """The page has no control for the sequence length."""
    spec = PruneSpec(model="tiny/bert", evaluate=("sentiment",))
    assert measured(spec, tiny.classifier(positions=64)) == spec.model_copy(update={"sequence_length": 64})
    assert measured(spec, tiny.classifier(positions=256)) == spec


def test_a_model_without_a_head_is_one_sentence_before_any_work(
    panel: GenerationsPanel, pruned: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = pruned(tiny.mute())
    monkeypatch.setattr(liar.jobs.restore, "restore_steps", None)
    assert "so it cannot answer" in line(panel, ask(panel, result)[-1])
