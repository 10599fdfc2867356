"""The model of a tokenizer, as tokenizer.json has it: what each token is made of, and the same without some tokens.

WordPiece, BPE, Unigram and WordLevel take the pieces of a word from one list, so that tokens can leave it. A word whose pieces
all stay is cut as before: WordPiece takes the longest piece, Unigram the likeliest cut, and neither gets a better one by a
shorter list; BPE applies its merges in order, and those that lead to a token that stays are kept with all tokens between.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from liar.errors import UnsupportedModelError

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class TokenModel(ABC):
    """Tokens by their text (``ids``), of a parsed tokenizer.json."""

    kind: ClassVar[str]

    def __init__(self, parsed: dict[str, Any]) -> None:
        self.parsed = parsed
        self.model: dict[str, Any] = parsed["model"]

    @property
    @abstractmethod
    def ids(self) -> Mapping[str, int]:
        """Ids of the tokens that words are cut into."""

    @cached_property
    def names(self) -> dict[int, str]:
        """Texts of those tokens by id."""
        return {id: name for name, id in self.ids.items()}

    @property
    def unknown(self) -> int | None:
        """Id of the token for what no other has."""
        return self.ids.get(self.model.get("unk_token") or "")

    def characters(self) -> set[int]:
        """Ids of single characters and bytes, into which any word can be cut, and of the unknown token."""
        found = {id for name, id in self.ids.items() if len(self.bare(name)) == 1 or _BYTE.fullmatch(name)}
        return found if self.unknown is None else found | {self.unknown}

    def bare(self, name: str) -> str:
        """A token without the mark of its place in a word."""
        return name

    def parts(self, id: int) -> Iterable[int]:
        """Ids of the tokens that have to stay for this one to be found."""
        return ()

    @abstractmethod
    def without(self, renumbered: Mapping[int, int]) -> dict[str, Any]:
        """The model with the tokens of ``renumbered`` alone, whose new ids it has."""


class _Listed(TokenModel):
    """Tokens in an object, with their ids."""

    @property
    def ids(self) -> Mapping[str, int]:
        return self.model["vocab"]  # type: ignore[no-any-return]

    def without(self, renumbered: Mapping[int, int]) -> dict[str, Any]:
        return self.model | {"vocab": self._vocabulary(renumbered)}

    def _vocabulary(self, renumbered: Mapping[int, int]) -> dict[str, int]:
        return {name: renumbered[id] for name, id in self.ids.items() if id in renumbered}


class WordLevel(_Listed):
    """A token a word, which is never cut."""

    kind = "WordLevel"

    def characters(self) -> set[int]:
        return set() if self.unknown is None else {self.unknown}


class WordPiece(_Listed):
    """The longest token that a word begins with, and so on behind it, where tokens have a prefix."""

    kind = "WordPiece"

    def bare(self, name: str) -> str:
        return name.removeprefix(self.model["continuing_subword_prefix"])


class BPE(_Listed):
    """Characters, merged in the order of a list."""

    kind = "BPE"

    def __init__(self, parsed: dict[str, Any]) -> None:
        super().__init__(parsed)
        if self.model.get("continuing_subword_prefix") or self.model.get("end_of_word_suffix"):
            raise UnsupportedModelError(
                "The tokenizer of this model marks places in a word by a prefix or suffix of its merges; its vocabulary "
                "stays whole."
            )
        pairs = (tuple(merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in self.model["merges"])
        self.ranks: dict[tuple[str, str], int] = {(a, b): rank for rank, (a, b) in enumerate(pairs)}

    def parts(self, id: int) -> Iterable[int]:
        """What the merges that give the token go through; nothing if none give it."""
        name = self.names[id]
        through: set[str] = set(name)
        cut = list(name)
        while len(cut) > 1:
            ranked = [(self.ranks[pair], place) for place, pair in enumerate(pairwise(cut)) if pair in self.ranks]
            if not ranked:
                return ()
            _, place = min(ranked)
            cut[place : place + 2] = [cut[place] + cut[place + 1]]
            through.add(cut[place])
        return [self.ids[part] for part in through if part in self.ids]

    def without(self, renumbered: Mapping[int, int]) -> dict[str, Any]:
        left = self._vocabulary(renumbered)
        merges = [[a, b] for a, b in self.ranks if a in left and b in left and a + b in left]
        return self.model | {"vocab": left, "merges": merges}


class Unigram(TokenModel):
    """The cut into tokens with the highest sum of scores."""

    kind = "Unigram"

    @cached_property
    def ids(self) -> Mapping[str, int]:
        return {name: id for id, (name, _) in enumerate(self.model["vocab"])}

    @property
    def unknown(self) -> int | None:
        return self.model.get("unk_id")

    def without(self, renumbered: Mapping[int, int]) -> dict[str, Any]:
        left = [entry for id, entry in enumerate(self.model["vocab"]) if id in renumbered]
        unknown = None if self.unknown is None else renumbered[self.unknown]
        return self.model | {"vocab": left, "unk_id": unknown}


_KINDS = {each.kind: each for each in (WordLevel, WordPiece, BPE, Unigram)}


def token_model(tokenizer: PreTrainedTokenizerBase) -> TokenModel:
    """The model of ``tokenizer``; raises :class:`UnsupportedModelError` for one whose tokens cannot leave."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedModelError(
            "The tokenizer of this model has no tokenizer.json, so that its vocabulary stays whole."
        )
    parsed = json.loads(backend.to_str())
    kind = _KINDS.get(parsed["model"].get("type"))
    if kind is None:
        raise UnsupportedModelError(
            f"The tokenizer of this model is a {parsed['model'].get('type')}; the vocabulary can shrink of {', '.join(_KINDS)}."
        )
    return kind(parsed)


def always_kept(model: TokenModel) -> set[int]:
    """Ids of added and special tokens, and of :meth:`TokenModel.characters`."""
    return {token["id"] for token in model.parsed["added_tokens"]} | model.characters()


def rewritten(model: TokenModel, renumbered: Mapping[int, int]) -> Tokenizer:
    """The tokenizer with the tokens of ``renumbered`` alone, which has their new ids."""
    parsed = model.parsed
    added = [token | {"id": renumbered[token["id"]]} for token in parsed["added_tokens"]]
    padding = parsed.get("padding")
    changed = parsed | {
        "model": model.without(renumbered),
        "added_tokens": added,
        "padding": padding and padding | {"pad_id": renumbered.get(padding["pad_id"], 0)},
        "post_processor": _with_ids(parsed.get("post_processor"), renumbered.__getitem__),
    }
    return Tokenizer.from_str(json.dumps(changed))


def _with_ids(processor: Any, new: Callable[[int], int]) -> Any:
    """A post-processor, or a sequence of them, with the ``new`` ids of the tokens that it adds."""
    if processor is None:
        return None
    changed = dict(processor)
    if "processors" in changed:
        changed["processors"] = [_with_ids(each, new) for each in changed["processors"]]
    for name in ("sep", "cls"):
        if name in changed:
            token, id = changed[name]
            changed[name] = [token, new(id)]
    if changed.get("type") == "TemplateProcessing":
        tokens = changed["special_tokens"]
        changed["special_tokens"] = {
            name: token | {"ids": [new(id) for id in token["ids"]]} for name, token in tokens.items()
        }
    return changed
