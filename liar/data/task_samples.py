"""The texts of the demo bundle, each read once in a process, and the samples that tasks make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from liar.loading.demo_bundle import fetch_demo
from liar.tasks.record import DemoData
from liar.tasks.samples import Article, RatedSentence, Sample
from liar.tasks.splits import Split, part_of
from liar.tasks.texts import Text


@cache
def rows_of(text: Text) -> tuple[Article, ...] | tuple[RatedSentence, ...]:
    """All rows of ``text``: articles sorted by title, or sentences in the order of the file.

    Fetches the demo bundle if it is missing; raises what ``fetch_demo`` raises.
    """
    path = fetch_demo() / text.file
    return _sentences(path) if text.is_rated else _articles(path)


def _articles(path: Path) -> tuple[Article, ...]:
    entries = json.loads(path.read_text(encoding="utf-8")).values()
    found = (
        Article(entry["title"], entry["extract"].strip(), entry["topic"], (entry.get("description") or "").strip())
        for entry in entries
    )
    return tuple(sorted(found, key=lambda article: article.title))


def _sentences(path: Path) -> tuple[RatedSentence, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t", 2) for line in lines if line.strip())
    # The file doubles every apostrophe: 'Conan' is written ''Conan''. A number is "document_sentence", or one sentence.
    return tuple(
        RatedSentence(text.replace("''", "'").strip(), float(rating), number.partition("_")[0])
        for number, rating, text in rows
    )


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
    yield from ((row.title, row.extract) for row in rows if isinstance(row, Article))
    sentences = (row for row in rows if isinstance(row, RatedSentence))
    for _, document in groupby(sentences, key=lambda sentence: sentence.document):
        parts = [sentence.text for sentence in document]
        yield parts[0], " ".join(parts)
