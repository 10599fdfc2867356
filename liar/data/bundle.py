"""The two text sources of the demo bundle, each read once in a process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from liar.models.demo import fetch_demo
from liar.presets import FILM_REVIEWS, WIKIPEDIA


@dataclass(frozen=True, slots=True)
class Article:
    """The lead of a Wikipedia article. Its short description is left out because it reveals the topic."""

    title: str
    extract: str
    topic: str


@dataclass(frozen=True, slots=True)
class RatedSentence:
    """A sentence of a film review; ``rating`` is the mean of human ratings from -4 (worst) to 4 (best)."""

    text: str
    rating: float


@cache
def articles() -> tuple[Article, ...]:
    """All articles, sorted by title. Fetches the demo bundle if it is missing; raises what ``fetch_demo`` raises."""
    entries = json.loads((fetch_demo() / WIKIPEDIA.file).read_text(encoding="utf-8")).values()
    found = (Article(entry["title"], entry["extract"].strip(), entry["topic"]) for entry in entries)
    return tuple(sorted(found, key=lambda article: article.title))


@cache
def rated_sentences() -> tuple[RatedSentence, ...]:
    """All film-review sentences, in the order of the file. Fetches and raises as :func:`articles` does."""
    lines = (fetch_demo() / FILM_REVIEWS.file).read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t", 2) for line in lines if line.strip())
    # The file doubles every apostrophe: 'Conan' is written ''Conan''.
    return tuple(RatedSentence(text.replace("''", "'").strip(), float(rating)) for _, rating, text in rows)
