"""Answers from logits as run_qa makes them, and their scores as in the official evaluation of SQuAD 1.1."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text.squad import squad

from liar.data.question_windows import Window, windows_of
from liar.evaluate.spans import best_answer, scores_of_answers, span_steps
from liar.progress import finish
from liar.tasks.samples import Answer, Sample
from tests.small_heads import TOKENIZER, marker

CONTEXT = "aa bb cc dd ee ff"
QUESTION = 3
"""Tokens before the context: special, question, special. One special token follows it."""


def window(first: int = 0, last: int = 5) -> Window:
    """A window with these words of the context."""
    offsets = [None] * QUESTION + [(3 * word, 3 * word + 2) for word in range(first, last + 1)] + [None]
    return Window([7] * len(offsets), item=0, offsets=offsets)


def test_a_window_without_context_has_no_answer() -> None:
    alone = Window([2, 7, 3], item=0, offsets=[None] * 3)
    assert best_answer([alone], [torch.ones(3)], [torch.ones(3)], "") == ""
    whole = window()
    broken = torch.full((len(whole),), math.nan)
    assert best_answer([whole], [broken], [broken], CONTEXT) == ""


def test_equal_sums_give_the_first_answer() -> None:
    one, two = window(1, 3), window(0, 2)
    flat = torch.zeros(len(one))
    assert best_answer([one, two], [flat, flat], [flat, flat], CONTEXT) == "bb"
    assert best_answer([two, one], [flat, flat], [flat, flat], CONTEXT) == "aa"


@given(data=st.data(), best=st.integers(1, 12), longest=st.integers(1, 7))
def test_it_is_the_best_of_all_pairs(data: st.DataObject, best: int, longest: int) -> None:
    """Against a list of all candidates, sorted by their sums, as in the script of transformers."""
    windows = [window(0, 3), window(2, 5)]
    draw = st.lists(st.permutations(range(8)), min_size=2, max_size=2)
    starts, ends = ([torch.tensor(row) / scale for row in data.draw(draw)] for scale in (1.0, 7.3))
    found: list[tuple[float, str]] = []
    for each, of_start, of_end in zip(windows, starts, ends, strict=True):
        firsts, lasts = (sorted(range(8), key=of.__getitem__, reverse=True)[:best] for of in (of_start, of_end))
        for first, last in itertools.product(firsts, lasts):
            begin, end = each.offsets[first], each.offsets[last]
            if begin is not None and end is not None and first <= last < first + longest:
                found.append((float(of_start[first] + of_end[last]), CONTEXT[begin[0] : end[1]]))
    found.sort(key=lambda candidate: candidate[0], reverse=True)
    answer = best_answer(windows, starts, ends, CONTEXT, best=best, longest=longest)
    assert answer in {text for score, text in found if score == found[0][0]} if found else answer == ""


def test_each_sample_gets_the_answer_of_its_own_windows() -> None:
    model = marker().model
    words = ["red", "green", "blue", "longer", "x"]
    draw = torch.Generator().manual_seed(1)
    samples = [
        Sample("red x", pair=" ".join(words[int(word)] for word in torch.randint(0, 5, (count,), generator=draw)))
        for count in (3, 60, 0, 9, 31)
    ]
    counts: list[tuple[int, int]] = []
    answers = finish(span_steps(model, TOKENIZER, samples, 20, 4), counts.append)
    windows = windows_of(samples, TOKENIZER, 20, 4, model.config)
    assert counts[-1] == (len(windows), len(windows))
    assert [done for done, _ in counts] == sorted({done for done, _ in counts})
    assert len(counts) == -(-len(windows) // 16)
    for item, sample in enumerate(samples):
        own = [each for each in windows if each.item == item]
        with torch.no_grad():
            outputs = [
                model(input_ids=torch.tensor([each.ids]), token_type_ids=torch.tensor([each.types])) for each in own
            ]
        starts, ends = [output.start_logits[0] for output in outputs], [output.end_logits[0] for output in outputs]
        assert answers[item] == best_answer(own, starts, ends, sample.pair or "")
        assert answers[item] in (sample.pair or "")
    assert answers[2] == ""
    assert all(answers[:2] + answers[3:])


SCORES = [
    # answer, accepted answers, exact match, F1: worked out from the published evaluation script
    ("the Eiffel Tower", ["Eiffel Tower"], True, 1.0),
    ("A tower, in Paris!", ["tower in Paris"], True, 1.0),
    ("in the tower", ["tower of Paris", "tower"], False, 2 / 3),
    ("red red blue", ["red blue blue"], False, 2 / 3),
    ("theatre", ["the atre"], False, 0.0),
    ("well-known", ["well known"], False, 0.0),  # punctuation goes without leaving a space
    ("U.S.", ["US"], True, 1.0),
    ("Curaçao", ["curaçao"], True, 1.0),
    ("ÉCOLE", ["école"], True, 1.0),
    ("école", ["ecole"], False, 0.0),
    ("«école»", ["école"], False, 0.0),  # only ASCII punctuation is removed
    ("1,\t000\n km", ["1000 km"], False, 0.4),
    ("", ["tower"], False, 0.0),
    ("", ["The"], True, 0.0),  # without words, an F1 of version 1.1 is zero
    ("the", ["an", "a!"], True, 0.0),
    ("one two three four", ["one", "two three four five six seven"], False, 0.6),
    ("tower", [], False, 0.0),
]


@pytest.mark.parametrize(("answer", "accepted", "match", "overlap"), SCORES)
def test_scores_are_those_of_the_official_evaluation(
    answer: str, accepted: list[str], match: bool, overlap: float
) -> None:
    sample = Sample("x", pair="y", answers=tuple(Answer(text, 0) for text in accepted))
    exact, f1 = scores_of_answers([answer], [sample])
    assert exact == [match]
    assert f1 == [pytest.approx(overlap, abs=1e-12)]


WORDS = st.lists(st.sampled_from(["the", "a", "red", "Red,", "blue", "sea.", "Ä", "i-n"]), min_size=1, max_size=8)
TEXTS = st.builds(lambda words: " ".join([*words, "end"]), WORDS)
"""Texts with a word: torchmetrics gives two texts without words an F1 of one, as version 2 does."""


@given(pairs=st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_their_means_are_those_of_torchmetrics(pairs: list[tuple[str, list[str]]]) -> None:
    samples = [Sample("x", pair="y", answers=tuple(Answer(text, 0) for text in accepted)) for _, accepted in pairs]
    exact, f1 = scores_of_answers([answer for answer, _ in pairs], samples)
    expected = squad(
        [{"id": str(row), "prediction_text": answer} for row, (answer, _) in enumerate(pairs)],
        [
            {"id": str(row), "answers": {"text": accepted, "answer_start": [0] * len(accepted)}}
            for row, (_, accepted) in enumerate(pairs)
        ],
    )
    assert 100 * sum(exact) / len(pairs) == pytest.approx(float(expected["exact_match"]), rel=1e-5)
    assert 100 * sum(f1) / len(pairs) == pytest.approx(float(expected["f1"]), rel=1e-5)
