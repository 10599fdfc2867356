"""Packing of texts into token windows without padding, for language models, and limits on the sequence length.

Perplexity depends on the separator between two texts (SmolLM2: 21.3 with the chat token between Wikipedia leads, 19.9 with
the document token). The literature joins the rows of WikiText, which are lines of one running text, with blank lines.

>>> from transformers import ByT5Tokenizer
>>> from liar.data.packing import pack
>>> pack(["first text", "second text"], ByT5Tokenizer(), sequence_length=8, count=2).shape
torch.Size([2, 8])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from liar.data.columns import selection
from liar.errors import InvalidSpecError
from liar.spec import AUTO, EVALUATION_LENGTH, Separator

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_CHARACTERS = 5  # first guess of the characters in a token
_UNSETTLED = 16  # tokens at the end of a text that may change when more text follows

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


def pack(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    count: int,
    joining: Joining = DOCUMENTS,
) -> Tensor:
    """Join texts according to ``joining`` and cut them into windows: (at most ``count``, sequence_length) int64.

    Windows do not overlap; tokens after the last full window are dropped. Reads little more text than needed.
    """
    wanted = count * sequence_length
    if (between := _BETWEEN.get(joining.separator)) is None:
        tokens = _joined_by_token(texts, tokenizer, wanted, token_between(joining, tokenizer))
    else:
        tokens = _joined_by_text(iter(texts), tokenizer, wanted, between)
    windows = min(count, len(tokens) // sequence_length)
    return torch.tensor(tokens[: windows * sequence_length], dtype=torch.long).view(windows, sequence_length)


def _joined_by_token(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, wanted: int, separator: list[int]
) -> list[int]:
    tokens: list[int] = []
    for text in texts:
        tokens += separator if tokens else []
        tokens += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(tokens) >= wanted:
            break
    return tokens


def _joined_by_text(texts: Iterator[str], tokenizer: PreTrainedTokenizerBase, wanted: int, between: str) -> list[int]:
    """Token ids of the joined text, after the tokenizer's begin token if it has one; tokens may span a separator."""
    begun: list[int] = tokenizer("", verbose=False)["input_ids"][:1]
    begun = begun if begun == [tokenizer.bos_token_id] else []
    parts: list[str] = []
    characters, needed = 0, _CHARACTERS * wanted
    while True:
        before = len(parts)
        for text in texts:
            parts.append(text)
            characters += len(text) + len(between)
            if characters >= needed:
                break
        tokens: list[int] = begun + tokenizer(between.join(parts), add_special_tokens=False, verbose=False)["input_ids"]
        if len(tokens) >= wanted + _UNSETTLED or len(parts) == before:
            return tokens
        needed = characters + needed


def longest_sequence(loaded: LoadedModel) -> int:
    """Number of tokens that the model has positions for."""
    embeddings = getattr(loaded.adapter.base, "embeddings", None)
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    unused = 0 if padding is None else padding + 1  # RoBERTa's positions begin after its padding id
    return int(min(loaded.model.config.max_position_embeddings - unused, loaded.tokenizer.model_max_length))


def evaluation_length(asked: int | None, loaded: LoadedModel, usual: int = EVALUATION_LENGTH) -> int:
    """Tokens of an evaluated sequence: ``asked``, else the ``usual`` ones or all positions of a smaller model.

    Raises what :func:`check_length` raises.
    """
    if asked is None:
        return min(usual, longest_sequence(loaded))
    check_length(asked, loaded, "length of measured sequences")
    return asked


def check_length(sequence_length: int, loaded: LoadedModel, name: str = "sequence length") -> None:
    """Raise :class:`InvalidSpecError` if the model has too few positions; ``name`` names the setting in the message."""
    limit = longest_sequence(loaded)
    if sequence_length > limit:
        raise InvalidSpecError(
            f"The {name} {sequence_length} is above the {limit} positions of this model; choose at most {limit}."
        )
