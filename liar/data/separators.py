"""Separators between the texts of a source that are joined to one stream of tokens.

Perplexity depends on the separator (SmolLM2: 21.3 with the chat token between Wikipedia leads, 19.9 with the document
token). The literature joins the rows of WikiText, which are lines of one running text, with blank lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from transformers import PreTrainedTokenizerBase

from liar.data.columns import selection
from liar.spec import AUTO, Separator

_BETWEEN: Mapping[Separator, str] = {"newline": "\n", "blank-line": "\n\n"}
"""Text of the separators that are text; the others are tokens."""

_DOCUMENT_TOKENS = ("<|endoftext|>", "<|end_of_text|>")
"""Tokens between documents in pretraining. The end-of-sequence token of a chat model ends a turn instead."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How texts are joined; ``separator`` is never "auto".

    ``is_running``: the rows are pieces of one text. They keep their order and white space, and a random sample is drawn
    from windows, not from rows.
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
"""Sources that hold one running text, by the suffix of a file or the beginning of the name of a hub dataset."""


def joining_of(source: str, separator: Separator = AUTO) -> Joining:
    """The joining of the texts of ``source``, see :func:`liar.data.text_reader.read_samples`; "auto": by the kind of source.

    If the separator is a token, each row is a text of its own.
    """
    source = selection(source).source
    dataset = source.split(":", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1].casefold()
    named = (kind for kind in _RUNNING if dataset.startswith(kind))
    own = _RUNNING.get(PurePath(source).suffix) or _RUNNING.get(next(named, ""), DOCUMENTS)
    chosen = own.separator if separator == AUTO else separator
    return Joining(chosen, own.is_running and chosen in _BETWEEN)


def token_between(joining: Joining, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Id of the token between two texts, as a list; empty if the tokenizer has no such token.

    For "document" it is the token that ends a document if the vocabulary has one, else the end-of-sequence token.
    """
    if joining.separator == "document":
        special = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        found = next((special[name] for name in _DOCUMENT_TOKENS if name in special), None)
        if found is not None:
            return [found]
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
