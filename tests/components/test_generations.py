"""Stored answers, new questions to the models, and texts that never become markup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from components.measured.generations import MAX_SEED
from components.shared.panel import Updates
from components.shared.prompts import preset_prompts
from liar.evaluate.answering.ask import PartialAnswer
from liar.results import Generation, RunResult, Token
from liar.store import RunStore
from server.profile import LOCAL
from tests import tiny
from tests.components.answering import VISITOR, Page, three
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


def test_older_results_without_tokens_mark_a_word(page: Page) -> None:
    markup = stored(page, answer("dense", "one two three"), answer("pruned", "one too three"))
    assert "</span>too </mark>three" in markup


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
    monkeypatch.setattr("liar.evaluate.answering.ask.ask", lambda *_, **__: (item for item in handed_out))
    page.registry.keep(language_run().spec.key, three())
    live = page.ask(language_run(), NASTY)[-1][page.panel.live]
    for markup in (stored(page, *spoken), stored(page, *labelled), live):
        assert "<img" not in markup
        assert "&lt;img" in markup


# -- new questions -------------------------------------------------------------------------------------------------


def test_three_columns_come_one_after_the_other(page: Page) -> None:
    run = language_run()
    variants = three()
    page.registry.keep(run.spec.key, variants)
    updates = page.ask(run, tokens=12)
    first, last = updates[0], updates[-1]
    assert not first[page.panel.work.button]["interactive"]
    assert first[page.panel.work.stop]["interactive"]
    assert last[page.panel.work.button]["interactive"]
    assert not last[page.panel.work.stop]["interactive"]
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
    (update,) = page.ask(language_run(), **choices)
    assert 'role="alert"' in page.line(update)
    assert words in page.line(update)
    assert page.asked == 0


def test_a_run_that_is_not_kept_is_a_sentence(page: Page) -> None:
    for key, words in ((language_run().spec.key, "not kept here"), ("", "No run of this recipe")):
        (update,) = page.panel.ask(key, "a b c", 8, 0, 0, VISITOR)
        assert words in page.line(update)
    assert page.asked == 0


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

    def ask(*_: Any, **__: Any) -> Iterator[PartialAnswer]:
        try:
            yield PartialAnswer("dense", "one ")
            yield PartialAnswer("dense", "two ")
            gate.wait(10)
            yield PartialAnswer("dense", "three")
        finally:
            closed.set()

    monkeypatch.setattr("liar.evaluate.answering.ask.ask", ask)
    page.registry.keep(language_run().spec.key, three())
    updates: list[Updates] = []
    for update in page.panel.ask(language_run().spec.key, "a b c", 8, 0, 0, VISITOR):
        updates.append(update)
        if "two" in str(update.get(page.panel.live, "")) and not gate.is_set():
            page.panel.work.end(updates[0][page.panel.work.job], VISITOR)
            gate.set()
    assert closed.wait(10)
    assert "Stopped" in page.line(updates[-1])
    assert "one two" in updates[-1][page.panel.live]
    assert updates[-1][page.panel.work.button]["interactive"]


def test_another_run_clears_the_answers_but_not_an_own_prompt(page: Page) -> None:
    preset = preset_prompts("demo/minilm-topic")[0]
    cleared = page.panel.change_run("", preset_prompts("")[1], preset, VISITOR)
    assert cleared[page.panel.prompt] == preset
    assert cleared[page.panel.live] == ""
    assert page.panel.change_run("", "My own words", preset, VISITOR)[page.panel.prompt] == "My own words"


def test_questions_to_a_run_that_is_no_longer_shown_are_stopped(page: Page) -> None:
    gate = Event()
    page.jobs.submit("somebody", "first", "First", lambda: iter([gate.wait(10)]))
    asked = page.jobs.submit("visitor", "asked", "Asked", lambda: iter([]))
    page.panel.change_run(asked.id, "", "", VISITOR)
    assert page.jobs.snapshot(asked).state == "stopped"
    gate.set()
