"""Windows of questions and contexts: nothing of a context is lost, and characters lead back to the text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, ByT5Tokenizer, RobertaConfig

from liar.data.batching import by_length, pad
from liar.data.question_windows import NO_ANSWER, Window, marks_of, windows_of
from liar.errors import CalibrationError
from liar.tasks.samples import Answer, Sample
from tests.small_heads import SPECIAL, TOKENIZER, WORDS, tokenizer

TYPED = BertConfig()
UNTYPED = RobertaConfig(type_vocab_size=1)


def sample(question: str, context: str, answer: str | None = None) -> Sample:
    answers = () if answer is None else (Answer(answer, context.index(answer)),)
    return Sample(question, pair=context, answers=answers)


def covered(window: Window) -> list[tuple[int, int]]:
    return [span for span in window.offsets if span is not None]


@given(
    question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    context=st.lists(st.sampled_from(WORDS), min_size=1, max_size=60),
    gap=st.sampled_from([" ", "  ", "\n"]),
    length=st.integers(10, 40),
    stride=st.integers(-1, 50),
)
def test_windows_hold_the_whole_context(
    question: list[str], context: list[str], gap: str, length: int, stride: int
) -> None:
    text = gap.join(context)
    windows = windows_of([sample(" ".join(question), text)], TOKENIZER, length, stride, TYPED)
    room = length - 3 - len(question)
    shared = max(0, min(stride, room // 2))
    whole = TOKENIZER(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    rebuilt = covered(windows[0])
    for before, after in pairwise(windows):
        assert covered(before)[len(covered(before)) - shared :] == covered(after)[:shared]
        rebuilt += covered(after)[shared:]
    assert rebuilt == [tuple(span) for span in whole]
    for window in windows:
        assert len(window) == len(window.offsets) == len(window.types or ()) <= length
        assert window.cut == (len(windows) > 1)
        assert window.ids[: 2 + len(question)] == TOKENIZER(" ".join(question))["input_ids"]
        for token, kind, span in zip(window.ids, window.types or (), window.offsets, strict=True):
            if span is not None:
                assert kind == 1
                assert text[slice(*span)] == TOKENIZER.convert_ids_to_tokens(token)
        assert window.offsets.count(None) == 3 + len(question)


@given(
    context=st.lists(st.sampled_from(WORDS), min_size=1, max_size=40),
    length=st.integers(8, 30),
    data=st.data(),
)
def test_marks_lead_back_to_the_answer(context: list[str], length: int, data: st.DataObject) -> None:
    text = " ".join(context)
    first = data.draw(st.integers(0, len(context) - 1))
    last = data.draw(st.integers(first, len(context) - 1))
    start = len(" ".join([*context[:first], ""]))
    asked = Sample("x", pair=text, answers=(Answer(" ".join(context[first : last + 1]), start),))
    end = start + len(asked.answers[0].text)
    for window in windows_of([asked], TOKENIZER, length, 4, TYPED):
        spans, marks = covered(window), marks_of(window, asked)
        if spans[0][0] <= start and spans[-1][1] >= end:
            opening, closing = (window.offsets[mark] for mark in marks)
            assert opening is not None
            assert closing is not None
            assert (opening[0], closing[1]) == (start, end)
        else:
            assert marks == NO_ANSWER


def test_marks_of_an_answer_inside_a_word_are_the_whole_word() -> None:
    asked = sample("x", "red longer blue", "ong")
    (window,) = windows_of([asked], TOKENIZER)
    assert marks_of(window, asked) == (4, 4)


@pytest.mark.parametrize("answers", [(), (Answer("", 4),)])
def test_a_question_without_an_answer_has_no_marks(answers: tuple[Answer, ...]) -> None:
    asked = Sample("x", pair="red green", answers=answers)
    (window,) = windows_of([asked], TOKENIZER)
    assert marks_of(window, asked) == NO_ANSWER


def test_windows_know_their_question_and_pad_like_other_rows() -> None:
    samples = [sample("x", "red " * 30), sample("  x", ""), Sample("x"), sample("red x", "blue")]
    windows = windows_of(samples, TOKENIZER, 20, 4, TYPED)
    assert [window.item for window in windows] == [0, 0, 0, 1, 2, 3]
    assert [window.cut for window in windows] == [True] * 3 + [False] * 3
    left = tokenizer()
    left.padding_side = "left"
    (positions,) = by_length(windows, 8)
    batch = pad([windows[position] for position in positions], left, "right")
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids"}
    assert (batch["input_ids"][:, 0] == SPECIAL["[CLS]"]).all()
    assert torch.equal(batch["attention_mask"].sum(dim=1), torch.tensor([3, 3, 6, 10, 20, 20]))
    assert all(window.types is None for window in windows_of(samples, TOKENIZER, 20, 4, UNTYPED))
    assert all(window.types is None for window in windows_of(samples, TOKENIZER, 20, 4))


def test_a_long_question_and_a_slow_tokenizer_are_errors() -> None:
    asked = sample("red " * 8, "blue green")
    assert len(windows_of([asked], TOKENIZER, 12, 100)) == 2
    with pytest.raises(CalibrationError, match=r"'red red .* window of 11 tokens; shorten the question or .* larger"):
        windows_of([asked], TOKENIZER, 11)
    with pytest.raises(CalibrationError, match=r"ByT5Tokenizer .* choose a model with a fast tokenizer"):
        windows_of([replace(asked, text="x")], ByT5Tokenizer())
