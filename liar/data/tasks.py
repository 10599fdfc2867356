"""The two classification tasks of the demo bundle: sentiment of film reviews and topic of Wikipedia articles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from liar.data.bundle import articles, rated_sentences
from liar.data.splits import Split, digest_of, split_of
from liar.errors import InvalidSpecError
from liar.models.heads import LABELS
from liar.spec import Task

_CLEAR_RATING = 0.5  # sentences with a mean rating closer to zero are neutral and have no right label


@dataclass(frozen=True, slots=True)
class LabelledText:
    """Texts, or pairs of ``texts[i]`` and ``pairs[i]``; ``labels[i]`` is the position of the class in ``label_names``.

    ``available`` is the number of items in the source, None if unknown.
    """

    texts: list[str]
    labels: list[int]
    label_names: tuple[str, ...]
    pairs: list[str] | None = None
    available: int | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int | None) -> LabelledText:
        """The first ``count`` items; all of them if it is None."""
        pairs = None if self.pairs is None else self.pairs[:count]
        return replace(self, texts=self.texts[:count], labels=self.labels[:count], pairs=pairs)


def task_items(task: Task, split: Split) -> LabelledText:
    """All items of one part of ``task``, sorted by a hash, so that the first few are a random sample.

    Sentiment: the sign of the mean human rating of a film-review sentence, for ratings farther from zero than 0.5.
    Topic: the topic of an article's lead, for articles with one of the topics in :data:`LABELS`. No text is in two
    parts. Raises :class:`InvalidSpecError` for a task without classes.
    """
    if task not in LABELS:
        raise InvalidSpecError(f"The task {task!r} has no labelled texts; choose one of: {', '.join(LABELS)}.")
    names = LABELS[task]
    found = _sentiment() if task == "sentiment" else _topic(names)
    # Keyed by digest, so that a text which the source repeats counts once.
    items = {digest_of(key): (text, label) for key, text, label in found if split_of(key) == split}
    ordered = [items[digest] for digest in sorted(items)]
    texts, labels = [text for text, _ in ordered], [label for _, label in ordered]
    return LabelledText(texts, labels, names, available=len(ordered))


def _sentiment() -> Iterable[tuple[str, str, int]]:
    for sentence in rated_sentences():
        if abs(sentence.rating) > _CLEAR_RATING:
            yield sentence.text, sentence.text, int(sentence.rating > 0)


def _topic(names: tuple[str, ...]) -> Iterable[tuple[str, str, int]]:
    position = {name: index for index, name in enumerate(names)}
    for article in articles():
        if article.topic in position:
            yield article.title, article.extract, position[article.topic]
