"""The tasks of the demo bundle: the items of each kind, and that no text is in two parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest

from liar.data.text_reader import demo_samples, read_samples, rows_of
from liar.errors import CalibrationError
from liar.tasks.demo import DEMO_TASKS, SENTIMENT, TOPICS
from liar.tasks.record import DemoData, Task
from liar.tasks.registry import task_named
from liar.tasks.samples import Article, RatedSentence, Sample
from liar.tasks.splits import Split, digest_of, letters_of, split_of
from liar.tasks.texts import FILMS, TEXTS, WIKI, Text

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
WITH_ITEMS = [task for task in DEMO_TASKS if not task.is_running]


def samples_of(task: Task, split: Split) -> list[Sample]:
    assert isinstance(task.data, DemoData)
    return demo_samples(task.data, split)


def articles() -> list[Article]:
    return [row for row in rows_of(WIKI) if isinstance(row, Article)]


@pytest.mark.demo
@pytest.mark.parametrize("task", WITH_ITEMS, ids=lambda task: task.name)
def test_no_text_stands_in_two_parts_or_twice_in_one(task: Task) -> None:
    """The text that decides the part of a sample is its lead for an article, else its sentence."""
    keys = [
        digest_of(sample.pair or sample.text) if task.texts == (WIKI,) else digest_of(sample.text)
        for split in SPLITS
        for sample in samples_of(task, split)
    ]
    assert len(keys) == len(set(keys))
    assert len(keys) > 1_000


@pytest.mark.demo
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.id)
def test_documents_of_different_parts_differ(text: Text) -> None:
    parts = {split: {letters_of(sample.text) for sample in demo_samples(DemoData((text,)), split)} for split in SPLITS}
    assert all(parts.values())
    assert all(not parts[one] & parts[other] for one, other in combinations(SPLITS, 2))


@pytest.mark.demo
def test_sentiment_is_the_sign_of_clear_ratings() -> None:
    ratings = {row.text: row.rating for row in rows_of(FILMS) if isinstance(row, RatedSentence)}
    total: Counter[str | None] = Counter()
    for split in SPLITS:
        samples = samples_of(SENTIMENT, split)
        assert all(abs(ratings[sample.text]) > 0.5 for sample in samples)
        assert all((ratings[sample.text] > 0) == (sample.label == "positive") for sample in samples)
        total.update(sample.label for sample in samples)
    assert total == {"negative": 5060, "positive": 4981}


@pytest.mark.demo
def test_topics_are_those_of_all_categorised_articles() -> None:
    total = Counter(sample.label for split in SPLITS for sample in samples_of(task_named("topic"), split))
    expected = Counter(article.topic for article in articles())
    assert expected.pop("Uncategorized") == 1000
    assert total == expected
    assert set(total) == set(TOPICS)
    assert len(TOPICS) == 11


@pytest.mark.demo
def test_ratings_are_those_of_every_sentence() -> None:
    ratings: dict[str, list[float]] = {}
    for row in rows_of(FILMS):
        assert isinstance(row, RatedSentence)
        ratings.setdefault(row.text, []).append(row.rating)
    samples = [sample for split in SPLITS for sample in samples_of(task_named("rating"), split)]
    for sample in samples:
        assert any(float(sample.label or "nan") == pytest.approx(known, abs=1e-5) for known in ratings[sample.text])
    assert len(samples) == len({digest_of(text) for text in ratings})


@pytest.mark.demo
@pytest.mark.parametrize("split", SPLITS)
def test_a_wrong_description_is_that_of_another_article_of_its_topic_and_part(split: Split) -> None:
    of_lead = {article.extract: article for article in articles()}
    described: dict[str, set[tuple[str, Split]]] = {}
    for article in articles():
        described.setdefault(article.description, set()).add((article.topic, split_of(article.title)))
    samples = samples_of(task_named("match"), split)
    for sample in samples:
        article = of_lead[sample.pair or ""]
        assert (sample.text == article.description) == (sample.label == "match")
        assert (article.topic, split) in described[sample.text]
    shares = Counter(sample.label for sample in samples)
    assert shares["match"] / len(samples) == pytest.approx(0.5, abs=0.04)


@pytest.mark.demo
@pytest.mark.parametrize("split", SPLITS)
def test_an_answer_stands_in_its_context_where_it_says(split: Split) -> None:
    samples = samples_of(task_named("span"), split)
    descriptions = {article.extract: article.description for article in articles()}
    for sample in samples:
        assert sample.pair is not None
        (answer,) = sample.answers
        assert sample.pair[answer.start :].startswith(answer.text)
        assert answer.text.casefold() == descriptions[sample.pair].casefold()


@pytest.mark.demo
@pytest.mark.parametrize("split", SPLITS)
def test_the_right_ending_follows_in_the_article_and_the_others_are_of_its_part(split: Split) -> None:
    leads = [article for article in articles() if split_of(article.title) == split]
    samples = samples_of(task_named("wiki-choice"), split)
    places = Counter(sample.label for sample in samples)
    assert set(places) == set("0123")
    assert max(places.values()) / len(samples) < 0.3
    beginnings = {article.extract[:200]: article for article in leads}
    for sample in samples[:50]:
        found = [article for lead, article in beginnings.items() if lead.startswith(sample.text[:200])]
        assert any(" ".join(article.extract.split()).startswith(" ".join(sample.joined.split())) for article in found)
        for place, ending in enumerate(sample.endings):
            whole = [article for article in leads if ending.strip() in article.extract]
            assert whole
            if str(place) == sample.label:
                assert any(article in found for article in whole)


@pytest.mark.demo
def test_the_first_items_are_a_fair_sample() -> None:
    samples = samples_of(SENTIMENT, "test")
    few = samples[:400]
    assert _positive(few) == pytest.approx(_positive(samples), abs=0.08)


def _positive(samples: Sequence[Sample]) -> float:
    return sum(sample.label == "positive" for sample in samples) / len(samples)


def test_a_task_without_texts_of_its_own_cannot_be_read() -> None:
    with pytest.raises(CalibrationError, match="piqa has no text to read here"):
        read_samples("piqa", "test")
