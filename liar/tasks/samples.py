"""Rows of the demo bundle, and samples of any task: what loaders read and evaluators ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Article:
    """The lead of a Wikipedia article, with its short description (empty if it has none) and its topic."""

    title: str
    extract: str
    topic: str
    description: str


@dataclass(frozen=True, slots=True)
class RatedSentence:
    """A sentence of a document; ``rating`` is the mean of human ratings from -4 (worst) to 4 (best)."""

    text: str
    rating: float
    document: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer to a question and the position of its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, or a pair of ``text`` and ``pair``; a question's context is its ``pair``.

    ``label`` is the name or number of the class, a number for a regression, or the position of the right one of the
    ``endings``; None if unknown. ``answers`` are those accepted for a question. An ending follows the text as it is, so it
    has a leading space if it begins with a word.
    """

    text: str
    label: str | None = None
    pair: str | None = None
    answers: tuple[Answer, ...] = ()
    endings: tuple[str, ...] = ()

    @property
    def joined(self) -> str:
        """Running text of the sample, for language models: both texts of a pair, or a text with its right ending."""
        if self.endings and self.label is not None:
            return self.text + self.endings[int(self.label)]
        return self.text if self.pair is None else f"{self.text}\n{self.pair}"
