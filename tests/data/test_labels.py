"""Which class of a model a label of the data means."""

from __future__ import annotations

import pytest
from transformers import BertConfig

from liar.errors import AmbiguousLabelsError
from liar.models.heads import classes_of, is_classifier, named_classes
from liar.tasks.demo import SENTIMENT
from tests.tiny import classifier, encoder, language_model


def test_only_a_head_for_whole_texts_makes_a_classifier() -> None:
    assert is_classifier(classifier().model)
    assert not is_classifier(encoder().model)
    assert not is_classifier(language_model().model)
    assert not is_classifier(classifier(("score",)).model)


def test_names_count_whatever_their_order_and_case() -> None:
    config = BertConfig(id2label={0: "POSITIVE", 1: "NEGATIVE"})
    assert named_classes(config, SENTIMENT.labels) == {"positive": 0, "negative": 1}
    assert classes_of(["negative", "Positive"], config) == [1, 0]
    assert classes_of(["0", "1", "0"], config) == [0, 1, 0]


def test_a_model_that_never_named_its_classes_has_those_of_the_task() -> None:
    classes = named_classes(BertConfig(num_labels=2), SENTIMENT.labels)
    assert (classes["negative"], classes["positive"], classes["label_1"]) == (0, 1, 1)
    assert "negative" not in named_classes(BertConfig(num_labels=3), SENTIMENT.labels)


STARS = BertConfig(id2label={index: str(index + 1) for index in range(5)})


def test_stars_are_names_and_not_numbers() -> None:
    """Read one at a time, "0" as a number and "1" as a name would both mean the class named "1"."""
    assert classes_of(list("12345"), STARS) == [0, 1, 2, 3, 4]
    assert classes_of(list("01234"), STARS) == [0, 1, 2, 3, 4]
    assert classes_of(list("52"), STARS) == [4, 1]


def test_what_a_label_can_be_decides_where_the_texts_leave_it_open() -> None:
    """No text has five stars, so "1" to "4" alone could be class numbers; the possible labels settle it."""
    config = BertConfig(num_labels=5)
    assert classes_of(list("1234"), config) == [1, 2, 3, 4]
    assert classes_of(list("1234"), config, possible=list("12345")) == [None] * 4
    assert classes_of(list("1234"), STARS, possible=list("12345")) == [0, 1, 2, 3]


def test_labels_of_two_meanings_are_refused() -> None:
    with pytest.raises(AmbiguousLabelsError, match="The labels 1, 2, 4 may be names"):
        classes_of(list("4212"), STARS)


def test_one_label_that_fits_neither_reading_is_unknown() -> None:
    assert classes_of(["1", "5", "6"], STARS) == [0, 4, None]
    assert classes_of(["negative", "neutral"], BertConfig(id2label={0: "negative", 1: "positive"})) == [0, None]
