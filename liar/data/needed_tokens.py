"""The tokens that a text needs, and how much of other text falls into smaller pieces without the rest.

``vocabulary`` of a recipe is a number, so many tokens in all with the most frequent ones of the calibration text, or the name
of a text, of which every token stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from liar.data.corpora import copies_of, settled_shares
from liar.data.text_reader import read_samples
from liar.errors import CalibrationError
from liar.loading.demo_bundle import bundle_folder
from liar.models.vocabulary.vocabulary import closed, rows_of
from liar.results import VocabularyReport
from liar.spec import PruneSpec
from liar.tasks.mixes import OWN_TEXT
from liar.tasks.splits import Split
from liar.tasks.texts import EDITORIALS, PRODUCTS

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_MOST_TEXTS = 50_000
"""Texts that are counted of each source; rarer tokens than theirs are worth little."""

_AT_ONCE = 1_000
_HELD_OUT = 500
"""Texts of each source on which the share in smaller pieces is measured."""


def needed_tokens_steps(spec: PruneSpec, loaded: LoadedModel) -> Generator[int, None, list[int]]:
    """Ids of the tokens that stay by ``spec.vocabulary``, ascending, with those they are made of.

    Yields the number of texts that were read. Of a number the most frequent tokens of the calibration text are the first, and
    behind them those that it lacks, by id. Raises :class:`CalibrationError` for a text that is missing, empty or unreadable,
    :class:`InvalidSpecError` for too few tokens and :class:`UnsupportedModelError` for a tokenizer that cannot be rewritten.
    """
    assert spec.vocabulary is not None
    most = int(spec.vocabulary) if spec.vocabulary.isdecimal() else None
    counts: Counter[int] = Counter()
    texts = 0
    for source in _read(spec, loaded):
        for rows in _tokens(source, "train", loaded, _MOST_TEXTS, copies_of(spec)):
            counts.update(chain.from_iterable(rows))
            texts += len(rows)
            yield texts
    if not counts:
        raise CalibrationError(f"The text for the vocabulary, {spec.vocabulary!r}, is empty; give one with text.")
    ordered = sorted(counts, key=lambda id: (-counts[id], id))
    if most is not None:
        ordered += [id for id in range(rows_of(loaded)) if id not in counts]
    return closed(loaded, ordered, most)


def report_of_vocabulary(spec: PruneSpec, dense: LoadedModel, kept: list[int]) -> VocabularyReport:
    """Number of tokens, and the share of those of held-out texts, in and out of the domain, that went."""
    stay, split = set(kept), {}
    others = [EDITORIALS.id, PRODUCTS.id] if bundle_folder().is_dir() else []
    for source in dict.fromkeys([*_read(spec, dense), *others]):
        try:
            rows = chain.from_iterable(_tokens(source, "test", dense, _HELD_OUT, copies_of(spec)))
            read = [*chain.from_iterable(rows)]
        except CalibrationError:  # a text without a part that was held out
            continue
        if read:
            split[source] = sum(id not in stay for id in read) / len(read)
    return VocabularyReport(tokens=rows_of(dense), kept=len(kept), split=split)


def _read(spec: PruneSpec, loaded: LoadedModel) -> list[str]:
    """Names of the texts that are counted."""
    assert spec.vocabulary is not None
    if not spec.vocabulary.isdecimal():
        return [spec.vocabulary]
    shares = settled_shares(spec.calibration, loaded)
    return [share.source for share in shares if share.source != OWN_TEXT]


def _tokens(source: str, split: Split, loaded: LoadedModel, texts: int, data: str | None) -> Iterator[list[list[int]]]:
    """Ids of each text, and of the second of a pair, some texts at once."""
    read = read_samples(source, split, data=data)
    if split == "test" and read.split is None:
        raise CalibrationError(f"{source!r} has no part that was held out.")
    lines = (line for sample in islice(read, texts) for line in (sample.text, sample.pair, *sample.endings) if line)
    while some := list(islice(lines, _AT_ONCE)):
        yield loaded.tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]
