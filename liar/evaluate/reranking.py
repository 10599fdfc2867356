"""A reranker, a model with one output for a pair: it orders, for each query, documents that share words with it.

>>> from liar.data.search import Search
>>> from liar.evaluate.reranking import candidates
>>> search = Search.of_pairs([("a red car", "the red car"), ("blue", "blue sky"), ("tree", "a green tree")])
>>> candidates(search, most=2)
[[0, 2], [0, 1], [0, 2]]
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice
from math import log
from typing import TYPE_CHECKING

from liar.data.search import Search
from liar.evaluate.classification import logits_steps
from liar.evaluate.embedding import found_outcome
from liar.evaluate.outcome import Steps
from liar.tasks.samples import Sample

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

MOST = 20
"""Documents that are ordered for a query."""
_WORD = re.compile(r"\w+")


def rerank_steps(loaded: LoadedModel, search: Search, length: int) -> Steps:
    """Order the :func:`candidates` of each query by the score of the pair."""
    chosen = candidates(search)
    pairs = [
        Sample(query, pair=search.documents[place])
        for query, places in zip(search.queries, chosen, strict=True)
        for place in places
    ]
    logits, cut = yield from logits_steps(loaded.model, loaded.tokenizer, pairs, length)
    scores = iter(logits[:, 0].tolist())
    order = [sorted(places, key=dict(zip(places, scores, strict=False)).__getitem__, reverse=True) for places in chosen]
    return found_outcome(search, order, cut)


def candidates(search: Search, most: int = MOST) -> list[list[int]]:
    """For each query its right documents and, up to ``most`` in all, those that share the rarest words with it.

    The rarer its words in the documents, the more a shared one counts: log(documents / those that have it).
    """
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for place, document in enumerate(search.documents):
        for word in set(_WORD.findall(document.casefold())):
            holders[word].append(place)
    return [
        sorted([*right, *islice(_others(query, right, holders, len(search.documents)), max(most - len(right), 0))])
        for query, right in zip(search.queries, search.right, strict=True)
    ]


def _others(query: str, right: Collection[int], holders: Mapping[str, list[int]], total: int) -> Iterator[int]:
    """Places of all documents that are not ``right``, those with most in common with the query first."""
    shared: defaultdict[int, float] = defaultdict(float)
    for word in set(_WORD.findall(query.casefold())):
        for place in holders.get(word, ()):
            shared[place] += log(total / len(holders[word]))
    ordered = chain(sorted(shared, key=lambda place: (-shared[place], place)), range(total))
    return (place for place in dict.fromkeys(ordered) if place not in right)
