"""The two classification tasks: the number of items of each class, and that no text is in two parts."""

from __future__ import annotations

from collections import Counter

import pytest

from liar.data.bundle import articles, rated_sentences
from liar.data.tasks import task_items
from liar.errors import InvalidSpecError
from liar.models.heads import LABELS, task_of_labels
from liar.tasks.splits import Split, digest_of, split_of

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.mark.demo
@pytest.mark.parametrize("task", list(LABELS))
def test_no_text_stands_in_two_parts_or_twice_in_one(task: str) -> None:
    digests = [digest_of(text) for split in SPLITS for text in task_items(task, split).texts]
    assert len(digests) == len(set(digests))


@pytest.mark.demo
def test_wikipedia_leads_of_different_parts_differ() -> None:
    parts = {
        split: {digest_of(each.extract) for each in articles() if split_of(each.title) == split} for split in SPLITS
    }
    assert not parts["train"] & parts["validation"]
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & parts["test"]


@pytest.mark.demo
def test_sentiment_is_the_sign_of_clear_ratings() -> None:
    ratings = {sentence.text: sentence.rating for sentence in rated_sentences()}
    total: Counter[int] = Counter()
    for split in SPLITS:
        items = task_items("sentiment", split)
        assert items.label_names == ("negative", "positive")
        assert all(abs(ratings[text]) > 0.5 for text in items.texts)
        assert all((ratings[text] > 0) == bool(label) for text, label in zip(items.texts, items.labels, strict=True))
        total.update(items.labels)
    assert total == {0: 5060, 1: 4981}


@pytest.mark.demo
def test_topics_are_those_of_all_categorised_articles() -> None:
    total: Counter[str] = Counter()
    for split in SPLITS:
        items = task_items("topic", split)
        total.update(items.label_names[label] for label in items.labels)
    expected = Counter(article.topic for article in articles())
    assert expected.pop("Uncategorized") == 1000
    assert total == expected
    assert len(total) == 11


@pytest.mark.demo
def test_the_first_items_are_a_fair_sample() -> None:
    items = task_items("sentiment", "test")
    few = items.first(400)
    assert len(few) == 400
    assert sum(few.labels) / 400 == pytest.approx(sum(items.labels) / len(items), abs=0.08)


def test_a_task_without_labels_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="sentiment, topic"):
        task_items("perplexity", "test")


@pytest.mark.parametrize(
    ("names", "task"),
    [
        (("Positive", "NEGATIVE"), "sentiment"),
        (LABELS["topic"], "topic"),
        (("negative", "neutral", "positive"), None),
        (("LABEL_0", "LABEL_1"), None),
    ],
)
def test_a_head_is_known_by_its_labels(names: tuple[str, ...], task: str | None) -> None:
    assert task_of_labels(names) == task
