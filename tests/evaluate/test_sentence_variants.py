"""Edits of a sentence: what each does, and that none is empty, equal to the sentence, or equal to another edit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar.evaluate.sentence_variants import perturbations


@pytest.mark.parametrize(
    ("sentence", "name", "expected"),
    [
        ("The film was good.", "negated", "The film was not good."),
        ("It isn't good.", "negated", None),
        ("It isn\u2019t good.", "without its negation", "It is good."),
        ("The plot makes no sense.", "without its negation", "The plot makes sense."),
        ("A very moving film.", "another adverb", "A hardly moving film."),
        ("A moving film.", "another adverb", None),
        ("A moving film.", "without its longest word", "A film."),
        ("A moving film.", "without its last word", "A moving."),
        ("A moving film.", "typo in the longest word", "A mvoing film."),
        ("Good, but long!", "without punctuation", "Good but long"),
        ("Good!?", "with three exclamation marks", "Good!!!"),
        ("Good.", "“not” before the last word", "not Good."),
    ],
)
def test_an_edit_does_what_its_name_states(sentence: str, name: str, expected: str | None) -> None:
    assert {edit.name: edit.text for edit in perturbations(sentence)}.get(name) == expected


def test_a_sentence_of_some_length_has_about_a_dozen() -> None:
    for sentence in ("A warm, funny and quietly moving film.", "The plot makes no sense and the jokes fall flat."):
        assert 10 <= len(perturbations(sentence)) <= 15


@given(st.text(max_size=80))
def test_whatever_somebody_writes_every_edit_is_a_new_text(sentence: str) -> None:
    texts = [edit.text for edit in perturbations(sentence)]
    assert len(set(texts)) == len(texts)
    assert all(text == text.strip() != sentence.strip() for text in texts)
    assert all(texts)
    assert perturbations(sentence) == perturbations(sentence)
