"""The samples of a task: made from the demo bundle, or read from the hub or a local copy of its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from liar.data.bundle import rows_of
from liar.tasks.record import DemoData
from liar.tasks.samples import Article, RatedSentence, Sample
from liar.tasks.splits import Split, part_of
from liar.tasks.texts import Text


def demo_samples(data: DemoData, split: Split) -> list[Sample]:
    """All samples of one part of a demo task, sorted by a hash, so that the first few are a random sample.

    A sample that the source repeats counts once, and none is in two parts. Raises what ``fetch_demo`` raises.
    """
    if data.build is None:
        return [sample for text in data.texts for sample in text_samples(text, split)]
    (text,) = data.texts  # no task needs rows of two texts
    return list(part_of(data.build(rows_of(text)), split).values())


def text_samples(text: Text, split: Split) -> list[Sample]:
    """The documents of one part of a text of the demo bundle, sorted by a hash; none is in two parts."""
    return [Sample(document) for document in part_of(_documents(text), split).values()]


def _documents(text: Text) -> Iterator[tuple[str, str]]:
    """Documents, each with the key that decides its part: its title, else its first sentence."""
    rows = rows_of(text)
    articles: Iterable[Article] = (row for row in rows if isinstance(row, Article))
    yield from ((article.title, article.extract) for article in articles)
    sentences: Iterable[RatedSentence] = (row for row in rows if isinstance(row, RatedSentence))
    for _, document in groupby(sentences, key=lambda sentence: sentence.document):
        parts = [sentence.text for sentence in document]
        yield parts[0], " ".join(parts)
