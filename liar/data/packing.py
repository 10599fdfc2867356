"""Packing of texts into token windows without padding, for language models, and limits on the sequence length.

>>> from transformers import ByT5Tokenizer
>>> from liar.data.packing import pack
>>> pack(["first text", "second text"], ByT5Tokenizer(), sequence_length=8, count=2).shape
torch.Size([2, 8])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from liar.data.separators import DOCUMENTS, Joining, token_between
from liar.errors import InvalidSpecError
from liar.spec import EVALUATION_LENGTH

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_CHARACTERS = 5  # first guess of the characters in a token
_UNSETTLED = 16  # tokens at the end of a text that may change when more text follows


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
    between = joining.between
    if between is None:
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
