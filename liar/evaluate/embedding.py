"""What an embedder does with texts: its vectors, what is left of them in a smaller model, and what they find.

Without labels a vector is compared with that of the dense model: by their cosine, by the nearest texts of both, and by the
order in which each ranks all other texts. Each is a mean over texts, so its standard error is that of a mean.

>>> import torch
>>> from liar.evaluate.embedding import kept_of
>>> texts = torch.nn.functional.normalize(torch.randn(40, 8), dim=1)
>>> {name: round(sum(values) / len(values), 6) for name, values in kept_of(texts, texts).items()}
{'cosine': 1.0, 'neighbours': 1.0, 'similarity-order': 1.0}
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from math import log2
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from liar.data.batching import encode
from liar.data.packing import longest_sequence
from liar.data.search import Search
from liar.evaluate.classification import output_steps
from liar.evaluate.outcome import Outcome, Steps, digest_of_samples
from liar.results import Items, MeasuredVariant
from liar.spec import MAX_TASKS
from liar.statistics.paired import packed
from liar.tasks.metrics import MetricName
from liar.tasks.samples import Sample

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

NEAREST = 10
"""Neighbours of a text, and results of a search, that count."""
FEWEST_TEXTS = NEAREST + 2
"""Of fewer texts all others are neighbours."""
_AT_ONCE = 256
"""Texts whose similarities to all others are in memory at once."""
_DECIMALS = 5

VectorSteps = Generator[tuple[int, int], None, tuple[Tensor, int]]
"""Generator of (texts done, texts in all); returns vectors (texts, dimensions), fp32 on the CPU, and how many were cut."""


def vector_steps(loaded: LoadedModel, texts: Sequence[str], length: int, prompt: str | None = None) -> VectorSteps:
    """Unit vectors of ``texts``, cut at ``length`` tokens, each
    behind the ``prompt``, by default that of a text without a role.
    """
    embedder = loaded.embedder
    assert embedder is not None, "only an embedder is given a task of vectors"
    before = embedder.prompt if prompt is None else prompt
    samples = [Sample(before + text) for text in texts]
    most = min(length, longest_sequence(loaded), embedder.length or length)
    rows = encode(samples, loaded.tokenizer, most, loaded.model.config)

    def read(output: Any, mask: Tensor) -> Tensor:
        return embedder.vectors(output.last_hidden_state, mask)

    found = yield from output_steps(loaded.model, loaded.tokenizer, rows, read)
    return torch.stack(found), sum(row.cut for row in rows)


def embed_steps(
    loaded: LoadedModel, variant: MeasuredVariant, samples: Sequence[Sample], length: int, asked: str
) -> Steps:
    """Compare the vectors of texts with those of the dense model, which are found under ``asked`` once it was measured."""
    texts = [sample.joined for sample in samples]
    vectors, cut = yield from vector_steps(loaded, texts, length)
    if variant == "dense":
        loaded.dense_vectors[asked] = vectors
        for oldest in list(loaded.dense_vectors)[:-MAX_TASKS]:
            del loaded.dense_vectors[oldest]
    kept = kept_of(loaded.dense_vectors[asked], vectors)
    items = Items(digest=digest_of_samples(samples, []), each=kept)
    answers = [f"{cosine:.2f}" for cosine in kept["cosine"]]
    return Outcome(samples, items, answers, [""] * len(samples), None, cut=cut, vectors=vectors)


@torch.no_grad()
def kept_of(dense: Tensor, vectors: Tensor) -> dict[MetricName, list[float]]:
    """For each text the cosine of its two unit vectors (texts, dimensions), the share of its ``dense`` neighbours that are
    still among as many nearest texts, and Spearman's correlation of both rankings of all other texts.
    """
    others = len(dense) - 1
    neighbours: list[float] = []
    orders: list[float] = []
    for start in range(0, len(dense), _AT_ONCE):
        rows = torch.arange(start, min(start + _AT_ONCE, len(dense)))
        not_itself = rows.unsqueeze(1) != torch.arange(len(dense))
        before, after = (
            (each[rows] @ each.T)[not_itself].view(len(rows), others) for each in (dense.double(), vectors.double())
        )
        nearest = [each.topk(min(NEAREST, others), dim=1).indices for each in (before, after)]
        found = torch.zeros_like(not_itself[:, 1:]).scatter_(1, nearest[1], True).gather(1, nearest[0])
        neighbours += found.double().mean(dim=1).tolist()
        ranks = [each.argsort(dim=1).argsort(dim=1).double() - (others - 1) / 2 for each in (before, after)]
        spread = ranks[0].square().sum(dim=1)
        orders += ((ranks[0] * ranks[1]).sum(dim=1) / spread.clamp_min(1)).tolist()
    cosines = (dense.double() * vectors.double()).sum(dim=1).tolist()
    return {
        "cosine": [round(value, _DECIMALS) for value in cosines],
        "neighbours": [round(value, _DECIMALS) for value in neighbours],
        "similarity-order": [round(value, _DECIMALS) for value in orders],
    }


def similar_steps(loaded: LoadedModel, samples: Sequence[Sample], length: int) -> Steps:
    """Give each pair the similarity of its two vectors, beside the number that is its label."""
    texts = [text for sample in samples for text in (sample.text, sample.pair or "")]
    vectors, cut = yield from vector_steps(loaded, texts, length)
    predicted = (vectors[::2] * vectors[1::2]).sum(dim=1).tolist()
    wanted = [sample.label or "" for sample in samples]
    items = Items(
        digest=digest_of_samples(samples, wanted),
        predicted=[round(value, _DECIMALS) for value in predicted],
        wanted=[float(number) for number in wanted],
    )
    return Outcome(samples, items, [f"{value:.2f}" for value in predicted], wanted, None, cut=cut)


def search_steps(loaded: LoadedModel, search: Search, length: int) -> Steps:
    """Find the documents of each query by the similarity of their vectors."""
    embedder = loaded.embedder
    assert embedder is not None, "only an embedder searches"
    both = len(search.documents) + len(search.queries)
    documents, cut = yield from _along(
        vector_steps(loaded, search.documents, length, embedder.prompt_of("document")), 0, both
    )
    queries, more = yield from _along(
        vector_steps(loaded, search.queries, length, embedder.prompt_of("query")), len(search.documents), both
    )
    order = [row.topk(min(NEAREST, len(documents))).indices.tolist() for row in queries @ documents.T]
    return found_outcome(search, order, cut + more)


def _along(steps: VectorSteps, before: int, total: int) -> VectorSteps:
    """``steps`` as a part of more, ``before`` of which are done."""
    while True:
        try:
            done, _ = next(steps)
        except StopIteration as stop:
            found: tuple[Tensor, int] = stop.value
            return found
        yield before + done, total


def found_outcome(search: Search, order: Sequence[Sequence[int]], cut: int) -> Outcome:
    """The outcome of a search whose results are ``order``, the places of documents for each query, best first."""
    each = [ranking_scores(results, right) for results, right in zip(order, search.right, strict=True)]
    labels = [search.documents[next(iter(right))] for right in search.right]
    samples = [Sample(query) for query in search.queries]
    hits = [results[0] in right for results, right in zip(order, search.right, strict=True)]
    names: tuple[MetricName, ...] = ("ndcg", "recall", "mrr")
    items = Items(
        digest=digest_of_samples(samples, labels),
        right=packed(hits),
        each={name: [round(scores[name], _DECIMALS) for scores in each] for name in names},
    )
    answers = [search.documents[results[0]] for results in order]
    return Outcome(samples, items, answers, labels, hits, cut=cut)


def ranking_scores(results: Sequence[int], right: Mapping[int, float]) -> dict[MetricName, float]:
    """nDCG, recall and reciprocal rank of the first :data:`NEAREST` ``results``, with the grades of the ``right`` ones.

    As in trec_eval, the gain is the grade and the discount log2(place + 1).
    """
    gains = [right.get(place, 0.0) for place in results[:NEAREST]]
    ideal = sorted(right.values(), reverse=True)[:NEAREST]
    first = next((place for place, gain in enumerate(gains, start=1) if gain > 0), None)
    return {
        "ndcg": _discounted(gains) / _discounted(ideal),
        "recall": sum(gain > 0 for gain in gains) / len(right),
        "mrr": 0.0 if first is None else 1 / first,
    }


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / log2(place + 1) for place, gain in enumerate(gains, start=1))
