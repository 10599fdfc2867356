"""Examples to try: what the cut model gets wrong and the repaired one right, and how many such texts there are."""

from __future__ import annotations

import pytest

from liar.report.words.answer_sentences import group_size
from liar.report.words.examples import examples, examples_in_numbers
from liar.report.words.metric_sentences import variants_of
from liar.results import Generation, Variant
from liar.statistics.compare import right_answers
from liar.tasks.prompts import QUESTIONS, is_right
from tests.fakes import language_run
from tests.shipped import shipped_run

FRANCE, SNOW = "What is the capital of France?", "What colour is snow?"


def said(prompt: str, *texts: str) -> list[Generation]:
    names: tuple[Variant, ...] = ("dense", "pruned", "reconstructed")
    return [Generation(prompt=prompt, variant=name, text=text) for name, text in zip(names, texts, strict=True)]


@pytest.mark.parametrize("model", ["demo/minilm-sentiment", "demo/minilm-match", "demo/minilm-span"])
def test_each_was_broken_by_pruning_and_mended_by_the_repair(model: str) -> None:
    run = shipped_run(model)
    found = examples(run)
    assert 0 < len(found) <= 2
    for example in found:
        (change,) = [
            each for each in run.changes if example.prompt == (f"{each.text}\n{each.pair}" if each.pair else each.text)
        ]
        assert {"broken", "mended"} <= set(change.groups)
        assert {name: answer.text for name, answer in example.answers.items()} == change.answers
    lengths = [len(example.prompt) for example in found]
    assert lengths == sorted(lengths)


def test_the_counts_are_those_of_all_items() -> None:
    run = shipped_run("demo/minilm-sentiment")
    right = [right_answers(each) for each in variants_of(run, "sentiment") or ()]
    rows = [*zip(*(each or () for each in right), strict=True)]
    broken = sum(row[:2] == (True, False) for row in rows)
    mended = rows.count((True, False, True))
    put_right = group_size(run, "sentiment", "mended")
    assert put_right is not None
    assert 0 < mended < put_right, "others were wrong before pruning too"
    assert examples_in_numbers(run) == f"Cutting broke {broken} of 1,200 answers; the repair mended {mended}."


def test_written_answers_are_judged_by_their_words() -> None:
    mended = said(FRANCE, "Paris.", "London", "It is Paris")
    others = [said(question, "?", "?", "?") for question in QUESTIONS if question not in (FRANCE, SNOW)]
    answers = [*mended, *said(SNOW, "White", "It is white.", "Blue"), *(answer for each in others for answer in each)]
    run = language_run().model_copy(update={"generations": answers})
    assert [example.prompt for example in examples(run)] == [FRANCE]
    assert examples_in_numbers(run) == "Such a question is one of 1 among 40 that were asked."
    assert examples_in_numbers(run.model_copy(update={"generations": mended})) == "", "too few say nothing"
    other = language_run().model_copy(update={"generations": said("Hello", "a", "b", "c")})
    assert [example.prompt for example in examples(other)] == ["Hello"], "without a mended one all that were answered"
    assert examples_in_numbers(other) == ""


def test_a_right_answer_is_a_word_of_its_own() -> None:
    assert is_right("What colour is blood?", "It is covered.") is False
    assert is_right("What colour is blood?", "RED!") is True
    assert is_right("Something else?", "red") is None
    assert len(QUESTIONS) == 40
