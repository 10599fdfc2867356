"""The texts of the demo bundle, each read once in a process."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from liar.loading.demo_bundle import fetch_demo
from liar.tasks.samples import Article, RatedSentence, Rows
from liar.tasks.texts import Text


@cache
def rows_of(text: Text) -> Rows:
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
