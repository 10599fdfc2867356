"""The answer of an embedder to a sentence: the texts whose vectors are nearest, of some hundred Wikipedia leads."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import Tensor
from transformers import PreTrainedModel

from liar.data.packing import longest_sequence
from liar.data.text_reader import rows_of
from liar.evaluate.embedding import vector_steps
from liar.progress import finish
from liar.results import Found, Variant
from liar.tasks.samples import Article
from liar.tasks.splits import part_of
from liar.tasks.texts import WIKI

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

NEAREST = 5
_LEADS = 300
_LENGTH = 64
"""Tokens of a lead that are read, for an answer within a few seconds."""
_SHOWN = 160
"""Characters of a lead in an answer."""

_vectors: WeakKeyDictionary[PreTrainedModel, dict[Variant, Tensor]] = WeakKeyDictionary()
"""Vectors of the leads, by model and variant: one model serves as pruned and as reconstructed."""


@cache
def leads() -> tuple[Article, ...]:
    """The articles that are searched: the first of the test part, which no model is calibrated on."""
    articles = [article for article in rows_of(WIKI) if isinstance(article, Article)]
    return tuple(part_of(((article.title, article) for article in articles), "test").values())[:_LEADS]


def nearest(loaded: LoadedModel, text: str, variant: Variant) -> list[Found]:
    """The :data:`NEAREST` of :func:`leads` to ``text``, the most similar first; ``loaded`` is this ``variant``."""
    embedder = loaded.embedder
    assert embedder is not None, "only an embedder finds texts"
    of_model = _vectors.setdefault(loaded.model, {})
    if variant not in of_model:
        texts = [article.extract for article in leads()]
        of_model[variant], _ = finish(vector_steps(loaded, texts, _LENGTH, embedder.prompt_of("document")))
    asked, _ = finish(vector_steps(loaded, [text], longest_sequence(loaded), embedder.prompt_of("query")))
    best = (of_model[variant] @ asked[0]).topk(NEAREST)
    return [
        Found(title=lead.title, text=beginning(lead.extract), similarity=round(similarity, 4))
        for similarity, lead in zip(best.values.tolist(), map(leads().__getitem__, best.indices.tolist()), strict=True)
    ]


def beginning(text: str) -> str:
    """What is shown of an article."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1].rsplit(" ", 1)[0] + "…"
