"""How the texts of a source become one stream of tokens: what stands between two of them.

Perplexity depends on it (SmolLM2: 21.3 with the chat token between Wikipedia leads, 19.9 with the document token), and the
literature joins the rows of WikiText, which are lines of one running text, with blank lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from transformers import PreTrainedTokenizerBase

from liar.data.columns import selection
from liar.spec import AUTO, Separator

_BETWEEN: Mapping[Separator, str] = {"newline": "\n", "blank-line": "\n\n"}
"""Separators that are text; the others are tokens."""

_DOCUMENT_TOKENS = ("<|endoftext|>", "<|end_of_text|>")
"""What stood between documents when a model was trained. The end token of a chat model ends a turn instead."""


@dataclass(frozen=True, slots=True)
class Joining:
    """``separator`` is never "auto". ``is_running``: the rows are pieces of one text, so they keep their order and white
    space, and a random choice is one of windows, not of rows.
    """

    separator: Separator
    is_running: bool = False

    @property
    def between(self) -> str | None:
        """The text between two texts; None if it is a token."""
        return _BETWEEN.get(self.separator)


DOCUMENTS = Joining("document")

_RUNNING: Mapping[str, Joining] = {
    ".txt": Joining("blank-line", is_running=True),  # read by paragraphs
    "wikitext": Joining("blank-line", is_running=True),  # lines, joined as by the code of GPTQ, SparseGPT and SliceGPT
}
"""Sources that are no collection of documents: the ending of a file, or how the name of a hub dataset begins."""


def joining_of(source: str, separator: Separator = AUTO) -> Joining:
    """How the texts of ``source`` (as in :func:`liar.data.texts.read_samples`) are joined; "auto" is as the source's kind
    has it. With a token between them, rows are texts of their own.
    """
    source, _ = selection(source)
    dataset = source.split(":", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1].casefold()
    named = (kind for kind in _RUNNING if dataset.startswith(kind))
    own = _RUNNING.get(PurePath(source).suffix) or _RUNNING.get(next(named, ""), DOCUMENTS)
    chosen = own.separator if separator == AUTO else separator
    return Joining(chosen, own.is_running and chosen in _BETWEEN)


def token_between(joining: Joining, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the token between two texts, none where the tokenizer has no such token.

    "document" is the token that ends a document where the vocabulary has one, else the end-of-sequence token.
    """
    if joining.separator == "document":
        special = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        found = next((special[name] for name in _DOCUMENT_TOKENS if name in special), None)
        if found is not None:
            return [found]
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
