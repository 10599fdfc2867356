"""Which label means which class of a model."""

from __future__ import annotations

from transformers import BertConfig

from liar.data.labels import classes_of, is_classifier
from tests.tiny import classifier, encoder, language_model


def test_only_a_head_for_whole_texts_makes_a_classifier() -> None:
    assert is_classifier(classifier().model)
    assert not is_classifier(encoder().model)
    assert not is_classifier(language_model().model)
    assert not is_classifier(classifier(("score",)).model)


def test_names_count_whatever_their_order_and_case() -> None:
    classes = classes_of(BertConfig(id2label={0: "POSITIVE", 1: "NEGATIVE"}), "sentiment")
    assert (classes["negative"], classes["positive"]) == (1, 0)
    assert (classes["0"], classes["1"]) == (0, 1)


def test_a_model_that_never_named_its_classes_has_those_of_the_task() -> None:
    classes = classes_of(BertConfig(num_labels=2), "sentiment")
    assert (classes["negative"], classes["positive"], classes["label_1"]) == (0, 1, 1)
    assert "negative" not in classes_of(BertConfig(num_labels=3), "sentiment")
