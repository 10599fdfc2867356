"""Stored answers, and new questions to models in memory or restored; texts never become markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import liar.jobs.restore
from components.measured.generations import MAX_SEED
from components.shared.job_bodies import measured, prompts_for
from components.shared.panel import Updates
from components.shared.prompts import preset_prompts
from liar.evaluate.answering import ask
from liar.evaluate.answering.ask import PartialAnswer
from liar.models.loaded import LoadedModel
from liar.results import Generation, RunResult, Token
from liar.spec import PruneSpec
from liar.store import RunStore
from server.model_registry import ModelRegistry
from server.profile import LOCAL
from tests import tiny
from tests.components.answering import Page, three
from tests.components.visitor import VISITOR
from tests.fakes import classifier_run, language_run

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(RunStore(tmp_path / "runs", shipped=tmp_path / "shipped"))
    page.build(language_run())
    yield page
    page.jobs.close()


def answer(variant: str, text: str, *, tokens: list[Token] | None = None, **more: Any) -> Generation:
    return Generation.model_validate(
        {"prompt": "Hello", "variant": variant, "text": text, "tokens": tokens or [], **more}
    )


def stored(page: Page, *generations: Generation) -> str:
    run = language_run().model_copy(update={"generations": list(generations)})
    return str(page.panel.show(run)[page.panel.stored])


# -- stored answers -----------------------------------------------------------------------------------------------------


def test_the_stored_answers_are_there_at_first_paint(page: Page) -> None:
    for text in ("The capital of France is", "dense.", "pruned.", "reconstructed."):
        assert text in page.panel.stored.value
    assert "come back with the first question" in page.panel.work.status.value
    assert "No run" not in page.build(None).stored.value


@pytest.mark.parametrize("first", [None, language_run(), classifier_run()], ids=["empty", "llama", "bert"])
def test_it_fills_only_what_it_declares_and_shows_the_controls_of_the_model(
    page: Page, first: RunResult | None
) -> None:
    panel = page.build(first)
    for run, writes in ((language_run(), True), (classifier_run(), False)):
        updates = panel.show(run)
        assert set(updates) <= set(panel.outputs)
        assert updates[panel.settings]["visible"] == updates[panel.colour]["visible"] == writes
        assert [updates[button] for button in panel.presets] == preset_prompts(run.spec.model)
    assert updates[panel.live] == "", "answers of another run are removed"
    assert "86.3 %" in updates[panel.stored]
    assert "positive" in updates[panel.stored]


def test_the_first_difference_is_marked_with_more_than_colour(page: Page) -> None:
    dense = answer("dense", "one two three", tokens=[Token(text=text) for text in ("one", " two", " three")])
    pruned = answer("pruned", "one two four", tokens=[Token(text=text) for text in ("one", " two", " four")])
    markup = stored(page, dense, pruned)
    assert markup.count("<mark>") == 1
    assert '<mark><span class="flag" role="img" aria-label="first difference">▸</span> four</mark>' in markup
    older = stored(page, answer("dense", "one two three"), answer("pruned", "one too three"))
    assert "</span>too </mark>three" in older, "without tokens a word is marked"


def test_equal_and_shorter_answers_are_marked(page: Page) -> None:
    same = stored(page, answer("dense", "one two"), answer("pruned", "one two"))
    assert "<mark>" not in same
    assert "Same text as dense" in same
    shorter = stored(page, answer("dense", "one two"), answer("pruned", "one"))
    assert "first difference" in shorter
    assert "Same text" not in shorter
    empty = stored(page, answer("dense", "one two"), answer("pruned", ""))
    assert "ends its answer at once" in empty


def test_figures_and_probabilities_stand_with_an_answer(page: Page) -> None:
    tokens = [Token(text="rare", probability=0.004), Token(text=" sure", probability=0.97)]
    markup = stored(page, answer("dense", "rare sure", tokens=tokens, seconds=0.5, dense_perplexity=12.34))
    assert 'class="p3" title="probability 0.004 under the dense model">rare<' in markup
    assert 'class="p0"' in markup
    assert "4.0 tokens a second" in markup
    assert "Perplexity 12.3, as the dense model sees it" in markup
    loop = stored(
        page, answer("dense", "one two"), answer("pruned", "one one one one one one", tokens=6 * [Token(text="one")])
    )
    assert "Repeats 75 % of its runs of three tokens. Shares" in loop


def test_generated_markup_stays_text(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [Token(text=NASTY, probability=0.5)]
    spoken = [
        Generation(prompt=NASTY, variant="dense", text=NASTY, tokens=tokens),
        Generation(prompt=NASTY, variant="pruned", text=f"a {NASTY}"),
    ]
    labelled = [Generation(prompt=NASTY, variant="dense", probabilities={NASTY: 1.0})]
    handed_out = (PartialAnswer("dense", NASTY), *labelled)
    monkeypatch.setattr(ask, "ask", lambda *_, **__: (item for item in handed_out))
    page.registry.keep(language_run().spec.key, three())
    live = page.ask(language_run(), NASTY)[-1][page.panel.live]
    for markup in (stored(page, *spoken), stored(page, *labelled), live):
        assert "<img" not in markup
        assert "&lt;img" in markup


# -- new questions -------------------------------------------------------------------------------------------------


def test_three_columns_come_one_after_the_other(page: Page) -> None:
    run, work = language_run(), page.panel.work
    page.registry.keep(run.spec.key, three())
    first, *_, last = page.ask(run, tokens=12)
    assert [first[each]["interactive"] for each in (work.button, work.stop)] == [False, True]
    assert [last[each]["interactive"] for each in (work.button, work.stop)] == [True, False]
    assert "Done" in page.line(last)
    live = last[page.panel.live]
    for variant in ("dense", "pruned", "reconstructed"):
        assert f'class="variant {variant}"' in live
    assert live.count("as the dense model sees it") == 3
    assert live.count("tokens a second") == 3
    assert live.count("first difference") == 2


def test_classifiers_give_each_label_its_probability(page: Page) -> None:
    run = classifier_run()
    page.build(run)
    page.registry.keep(run.spec.key, three(tiny.classifier))
    live = page.ask(run, "a b c d")[-1][page.panel.live]
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
def test_a_value_outside_its_control_is_a_sentence_and_no_job(page: Page, choices: dict[str, Any], words: str) -> None:
    page.registry.keep(language_run().spec.key, three())
    (update,) = page.ask(language_run(), **choices)  # a job would answer more than once
    assert 'role="alert"' in page.line(update)
    assert words in page.line(update)


def test_a_run_that_is_not_kept_is_a_sentence(page: Page) -> None:
    for key, words in ((language_run().spec.key, "not kept here"), ("", "No run of this recipe")):
        (update,) = page.panel.ask(key, "a b c", 8, 0, 0, VISITOR)
        assert words in page.line(update)


def test_models_of_a_run_that_could_not_be_stored_answer_while_in_memory(page: Page) -> None:
    run = language_run()
    page.registry.keep(run.spec.key, three())
    gate = Event()
    page.jobs.submit("somebody", "first", "First", lambda: iter([gate.wait(10)]))
    watching = page.panel.ask(run.spec.key, "a b c", 8, 0, 0, VISITOR)
    assert "Asking the models" in page.line(next(watching))
    page.registry.max_bytes = 1
    page.registry.get("another", "cpu", "float32")
    gate.set()
    *_, last = watching
    assert "not kept here" in page.line(last)
    assert last[page.panel.work.button]["interactive"]


def test_stop_keeps_the_answers_so_far(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, closed = Event(), Event()

    def slow(*_: Any, **__: Any) -> Iterator[PartialAnswer]:
        try:
            yield PartialAnswer("dense", "one ")
            yield PartialAnswer("dense", "two ")
            gate.wait(10)
            yield PartialAnswer("dense", "three")
        finally:
            closed.set()

    monkeypatch.setattr(ask, "ask", slow)
    page.registry.keep(language_run().spec.key, three())
    watching = page.panel.ask(language_run().spec.key, "a b c", 8, 0, 0, VISITOR)
    id = next(watching)[page.panel.work.job]
    last: Updates = {}
    for last in watching:
        if "two" in str(last.get(page.panel.live, "")) and not gate.is_set():
            page.panel.work.end(id, VISITOR)
            gate.set()
    assert closed.wait(10)
    assert "Stopped" in page.line(last)
    assert "one two" in last[page.panel.live]
    assert last[page.panel.work.button]["interactive"]


def test_another_run_stops_the_questions_and_clears_the_answers_but_not_an_own_prompt(page: Page) -> None:
    preset, gate = preset_prompts("demo/minilm-topic")[0], Event()
    page.jobs.submit("somebody", "first", "First", lambda: iter([gate.wait(10)]))
    asked = page.jobs.submit("visitor", "asked", "Asked", lambda: iter([]))
    cleared = page.panel.change_run(asked.id, preset_prompts("")[1], preset, VISITOR)
    assert page.jobs.snapshot(asked).state == "stopped"
    gate.set()
    assert cleared[page.panel.prompt] == preset
    assert cleared[page.panel.live] == ""
    assert page.panel.change_run("", "My own words", preset, VISITOR)[page.panel.prompt] == "My own words"


# -- models restored from a stored run ----------------------------------------------------------------------------------


Prune = Callable[[LoadedModel], RunResult]


@pytest.fixture
def pruned(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prune:
    """Make a stored run whose models are not in memory; any further pruning, scoring or measuring raises."""
    text = tiny.letters_file(tmp_path)

    def fails(*_: Any, **__: Any) -> Any:
        raise AssertionError("a restored model is neither measured nor pruned again")

    def prune(dense: LoadedModel) -> RunResult:
        given = {"criterion": "obs", "allocation": "uniform", "tokens": 256, "sequence_length": 16}
        result = liar.run(PruneSpec.create(model=dense.id, calibration=text, **given), dense)
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


def test_a_run_asks_the_presets_that_its_model_can_answer() -> None:
    classifier, large = tiny.classifier(("entailment", "neutral", "contradiction")), tiny.language_model()
    assert prompts_for(PruneSpec(model=classifier.id), classifier) == preset_prompts("demo/minilm-sentiment")
    assert prompts_for(PruneSpec(model=large.id), large)
    for mute in (tiny.encoder(), tiny.language_model(positions=50)):  # no head, and no room for a preset
        assert prompts_for(PruneSpec(model=mute.id), mute) == []


def test_a_small_model_is_calibrated_at_the_length_that_it_has() -> None:
    """The page has no control for the sequence length."""
    spec = PruneSpec(model="tiny/bert", evaluate=("sentiment",))
    assert measured(spec, tiny.classifier(positions=64)) == spec.model_copy(update={"sequence_length": 64})
    assert measured(spec, tiny.classifier(positions=256)) == spec


def test_a_model_without_a_head_is_one_sentence_before_any_work(
    page: Page, pruned: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = pruned(tiny.encoder())
    monkeypatch.setattr(liar.jobs.restore, "restore_steps", None)
    assert "so it cannot answer" in page.line(page.ask(result)[-1])
