"""The samples of a task: made from the demo bundle, or read from the hub or a local copy of its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from liar.data.bundle import rows_of
from liar.errors import InvalidSpecError
from liar.tasks.items import Article, RatedSentence, Sample
from liar.tasks.record import DemoData
from liar.tasks.registry import task_named
from liar.tasks.splits import Split, digest_of, split_of
from liar.tasks.texts import Text


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

    @classmethod
    def of(cls, samples: Sequence[Sample], label_names: Sequence[str], available: int | None = None) -> LabelledText:
        """Columns of ``samples``, whose labels are all among ``label_names``."""
        position = {name: index for index, name in enumerate(label_names)}
        pairs = [sample.pair or "" for sample in samples]
        return cls(
            [sample.text for sample in samples],
            [position[sample.label or ""] for sample in samples],
            tuple(label_names),
            pairs if any(sample.pair is not None for sample in samples) else None,
            available,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int | None) -> LabelledText:
        """The first ``count`` items; all of them if it is None."""
        pairs = None if self.pairs is None else self.pairs[:count]
        return replace(self, texts=self.texts[:count], labels=self.labels[:count], pairs=pairs)


def demo_samples(data: DemoData, split: Split) -> list[Sample]:
    """All samples of one part of a demo task, sorted by a hash, so that the first few are a random sample.

    A sample that the source repeats counts once, and none is in two parts. Raises what ``fetch_demo`` raises.
    """
    if data.build is None:
        return [sample for text in data.texts for sample in text_samples(text, split)]
    rows = [row for text in data.texts for row in rows_of(text)]
    # Keyed by digest, so that a text which the source repeats counts once.
    items = {digest_of(key): sample for key, sample in data.build(rows) if split_of(key) == split}
    return [items[digest] for digest in sorted(items)]


def text_samples(text: Text, split: Split) -> list[Sample]:
    """The documents of one part of a text of the demo bundle, sorted by a hash; none is in two parts."""
    chosen = {digest_of(key): document for key, document in _documents(text) if split_of(key) == split}
    return [Sample(chosen[digest]) for digest in sorted(chosen)]


def _documents(text: Text) -> Iterator[tuple[str, str]]:
    """Documents, each with the key that decides its part: its title, else its first sentence."""
    rows = rows_of(text)
    articles: Iterable[Article] = (row for row in rows if isinstance(row, Article))
    yield from ((article.title, article.extract) for article in articles)
    sentences: Iterable[RatedSentence] = (row for row in rows if isinstance(row, RatedSentence))
    for _, document in groupby(sentences, key=lambda sentence: sentence.document):
        parts = [sentence.text for sentence in document]
        yield parts[0], " ".join(parts)


def task_items(task: str, split: Split) -> LabelledText:
    """All items of one part of a classification task of the demo bundle, in the order of :func:`demo_samples`.

    Raises :class:`InvalidSpecError` for a task without classes or without demo texts.
    """
    record = task_named(task)
    if not record.labels or not isinstance(record.data, DemoData):
        raise InvalidSpecError(f"The task {task!r} has no labelled texts in the demo bundle; choose another one.")
    samples = demo_samples(record.data, split)
    return LabelledText.of(samples, record.labels, len(samples))
