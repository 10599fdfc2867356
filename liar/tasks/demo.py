"""The tasks that need no hub: their items are made from the texts of the demo bundle, by rules that anyone can repeat."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from liar.tasks.metrics import MetricName
from liar.tasks.record import DemoData, Keyed, Task, Training
from liar.tasks.samples import Answer, Article, RatedSentence, Sample
from liar.tasks.splits import digest_of, split_of
from liar.tasks.texts import EDITORIALS, FILMS, PRODUCTS, TWEETS, WIKI

TOPICS = (
    "Arts",
    "Biology and health sciences",
    "Everyday life",
    "Geography",
    "History",
    "Mathematics",
    "People",
    "Philosophy and religion",
    "Physical sciences",
    "Society and social sciences",
    "Technology",
)

_CLEAR_RATING = 0.5  # sentences with a mean rating closer to zero are neutral and have no right label
_ENDINGS = 4
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\"][.!?])\s+(?=[A-Z])")
_SENTENCE = range(40, 161)  # characters; shorter ones are often cut at an abbreviation, longer ones take long to read


def sentiment_items(sentences: Sequence[RatedSentence]) -> Iterator[Keyed]:
    """The sign of the mean human rating of a sentence, for ratings farther from zero than 0.5."""
    for sentence in sentences:
        if abs(sentence.rating) > _CLEAR_RATING:
            yield sentence.text, Sample(sentence.text, "positive" if sentence.rating > 0 else "negative")


def rating_items(sentences: Sequence[RatedSentence]) -> Iterator[Keyed]:
    """The mean human rating of every sentence, from -4 to 4."""
    for sentence in sentences:
        yield sentence.text, Sample(sentence.text, f"{sentence.rating:g}")


def topic_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """The topic of an article's lead, for articles that have one of :data:`TOPICS`."""
    for article in articles:
        if article.topic in TOPICS:
            yield article.title, Sample(article.extract, article.topic)


def match_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """Whether a short description belongs to an article: its own, or that of another article on the same topic.

    Each article occurs once; half of them, chosen by hash, get the description of another article of their split.
    """
    described = [article for article in articles if article.description and article.topic in TOPICS]
    for article, others in _with_others(described):
        own = article.description
        wrong = next((other.description for other in others if other.description.casefold() != own.casefold()), None)
        if digest_of(f"match {article.title}") % 2 or wrong is None:
            yield article.title, Sample(own, "match", article.extract)
        else:
            yield article.title, Sample(wrong, "no match", article.extract)


def span_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """The question "What is TITLE?" about the lead; the answer is the short description, where it stands in the lead."""
    for article in articles:
        found = re.search(rf"\b{re.escape(article.description)}\b", article.extract, re.IGNORECASE)
        if article.description and found:
            answer = Answer(found.group(), found.start())
            yield article.title, Sample(f"What is {article.title}?", pair=article.extract, answers=(answer,))


def choice_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """Which of four second sentences continues a first sentence; all are of articles of its topic and its split."""
    leads = {article: pair for article in articles if article.topic in TOPICS and (pair := _two_of(article))}
    for article, others in _with_others(leads):
        wrong = others[: _ENDINGS - 1]
        if len(wrong) == _ENDINGS - 1:
            right = digest_of(f"choice {article.title}") % _ENDINGS
            endings = tuple(f" {leads[each][1]}" for each in (*wrong[:right], article, *wrong[right:]))
            yield article.title, Sample(leads[article][0], str(right), endings=endings)


def sentence_items(sentences: Sequence[RatedSentence]) -> Iterator[Keyed]:
    """Every sentence, as a text of its own."""
    for sentence in sentences:
        yield sentence.text, Sample(sentence.text)


def lead_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """The lead of every article."""
    for article in articles:
        yield article.title, Sample(article.extract)


def search_items(articles: Sequence[Article]) -> Iterator[Keyed]:
    """What finds an article's lead: of half of them, by hash, the short description if no other has it, else the title."""
    known = Counter(article.description.casefold() for article in articles)
    for article in articles:
        description = article.description
        is_described = known[description.casefold()] == 1 and digest_of(f"search {article.title}") % 2
        query = description if description and is_described else article.title
        yield article.title, Sample(query, pair=article.extract)


def _with_others(articles: Iterable[Article]) -> Iterator[tuple[Article, list[Article]]]:
    """Each article and the others of its topic and its split, from the next one on and around.

    They are in the order of their hash, which is random but fixed.
    """
    groups: defaultdict[tuple[str, str], list[Article]] = defaultdict(list)
    for article in sorted(articles, key=lambda article: digest_of(article.title)):
        groups[article.topic, split_of(article.title)].append(article)
    for group in groups.values():
        for position, article in enumerate(group):
            yield article, group[position + 1 :] + group[:position]


def _two_of(article: Article) -> tuple[str, str] | None:
    """The first two sentences of a lead; None if it has fewer, or if one is too short or too long."""
    sentences = _SENTENCE_END.split(article.extract)[:2]
    if len(sentences) < 2 or not all(len(sentence) in _SENTENCE for sentence in sentences):
        return None
    return sentences[0], sentences[1]


_VECTORS: tuple[MetricName, ...] = ("cosine", "neighbours", "similarity-order")

PERPLEXITY = Task(
    "perplexity",
    "Wikipedia leads",
    "language-model",
    DemoData((WIKI,)),
    ("perplexity",),
    count=20,
    prompts=(
        "What is the capital of France?",
        "How do plants make their food?",
        "Who invented the steam engine?",
    ),
    beside=("out-of-domain",),
)
"""The task of a language model, if none is named."""

OUT_OF_DOMAIN = Task(
    "out-of-domain",
    "newspaper editorials, product reviews and tweets",
    "language-model",
    DemoData((EDITORIALS, PRODUCTS, TWEETS)),
    ("perplexity",),
    count=20,
)
"""Perplexity on text that no default calibrates on."""

SENTIMENT = Task(
    "sentiment",
    "movie sentences",
    "sentence",
    DemoData((FILMS,), sentiment_items),
    ("accuracy",),
    labels=("negative", "positive"),
    training=Training(),
    prompts=(
        "A warm, funny and quietly moving film.",
        "The plot makes no sense and the jokes fall flat.",
        "Not bad at all, though half an hour too long.",
    ),
)

DEMO_TASKS: tuple[Task, ...] = (
    PERPLEXITY,
    OUT_OF_DOMAIN,
    SENTIMENT,
    Task(
        "topic",
        "Wikipedia topics",
        "sentence",
        DemoData((WIKI,), topic_items),
        ("accuracy",),
        labels=TOPICS,
        training=Training(epochs=3, sequence_length=128),
        prompts=(
            "The orchestra played the symphony for the first time in Vienna.",
            "The river rises in the mountains and flows north to the sea.",
            "The striker scored twice in the final of the championship.",
        ),
    ),
    Task(
        "match",
        "descriptions of articles",
        "pair",
        DemoData((WIKI,), match_items),
        ("accuracy",),
        labels=("no match", "match"),
        training=Training(epochs=1, sequence_length=128, rank=12),
        prompts=(
            "Capital of France\nParis is the capital and largest city of France, on the river Seine.",
            "Species of bird\nParis is the capital and largest city of France, on the river Seine.",
            "Stringed instrument\nThe violin is played with a bow and is the smallest of its family.",
        ),
    ),
    Task(
        "rating",
        "ratings of movie sentences",
        "regression",
        DemoData((FILMS,), rating_items),
        ("spearman", "pearson"),
        training=Training(rank=12),
        prompts=SENTIMENT.prompts,
    ),
    Task(
        "span",
        "questions about articles",
        "span",
        DemoData((WIKI,), span_items),
        ("answer-f1", "exact-match"),
        training=Training(epochs=6, learning_rate=5e-4, sequence_length=256, rank=12),
        prompts=(
            "What is Paris?\nParis is the capital and largest city of France, on the river Seine.",
            "What is a violin?\nThe violin, sometimes called a fiddle, is a wooden string instrument with four strings.",
            "What is Mercury?\nMercury is the first planet from the Sun and the smallest in the Solar System.",
        ),
    ),
    Task(
        "wiki-choice",
        "second sentences of articles",
        "choice",
        DemoData((WIKI,), choice_items),
        ("accuracy", "normalized-accuracy"),
        choices=_ENDINGS,
        count=500,
    ),
    Task(
        "wiki-search",
        "search in articles",
        "search",
        DemoData((WIKI,), search_items),
        ("ndcg", "recall"),
        count=500,
        beside=("embedding", "embedding-out-of-domain"),
        prompts=(
            "How do plants turn light into sugar?",
            "A war inside one country",
            "An instrument with strings",
        ),
    ),
    Task(
        "embedding",
        "vectors of Wikipedia leads",
        "embedding",
        DemoData((WIKI,), lead_items),
        _VECTORS,
        count=500,
    ),
    Task(
        "embedding-films",
        "vectors of movie sentences",
        "embedding",
        DemoData((FILMS,), sentence_items),
        _VECTORS,
        count=500,
    ),
    Task(
        "embedding-out-of-domain",
        "vectors of sentences of editorials, product reviews and tweets",
        "embedding",
        DemoData((EDITORIALS, PRODUCTS, TWEETS), sentence_items),
        _VECTORS,
        count=500,
    ),
    Task(
        "wiki-rerank",
        "order of articles for a search",
        "rerank",
        DemoData((WIKI,), search_items),
        ("mrr", "ndcg"),
        count=200,
    ),
)
