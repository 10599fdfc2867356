"""A tokenizer in the terms of llama.cpp: tokens with their types, merges or scores, special tokens, chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gguf import TokenType
from transformers import PreTrainedTokenizerBase

from liar.errors import UnsupportedModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS: Mapping[str, str] = {
    _LETTERS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _LETTERS + r"\p{N}" + _REST: "qwen2",
}
"""llama.cpp's name of a tokenizer that splits text by this expression; the expression as the tokenizer has it."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``kind`` is llama.cpp's name of the algorithm, ``before`` that of how text is split before it (byte-level ones)."""

    kind: str
    before: str | None
    tokens: list[bytes]
    types: list[int]
    merges: list[str]
    scores: list[float]

    def add_to(self, writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write it with the special tokens and the chat template of ``tokenizer``."""
        writer.add_tokenizer_model(self.kind)
        if self.before is not None:
            writer.add_tokenizer_pre(self.before)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.merges:
            writer.add_token_merges(self.merges)
        if self.scores:
            writer.add_token_scores(self.scores)
        for role in _ROLES:
            number = getattr(tokenizer, f"{role}_token_id", None)
            if number is not None:
                getattr(writer, f"add_{role}_token_id")(number)
        ids = tokenizer("a")["input_ids"]
        writer.add_add_bos_token(ids[0] == tokenizer.bos_token_id)
        writer.add_add_eos_token(len(ids) > 1 and ids[-1] == tokenizer.eos_token_id)
        if self.kind == "llama":
            plain = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])
            writer.add_add_space_prefix(plain[0].startswith("▁"))
        if isinstance(tokenizer.chat_template, str):
            writer.add_chat_template(tokenizer.chat_template)


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, size: int) -> Vocabulary:
    """The ``size`` tokens of a model; those that its tokenizer lacks are unused.

    Raises :class:`UnsupportedModelError` for a tokenizer that llama.cpp has no name for.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    description: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    model = description.get("model") or {}
    if model.get("type") != "BPE":
        raise _refused(f"its tokenizer is {model.get('type') or 'none of the fast ones'}, not BPE")
    in_bytes = bool(model.get("byte_fallback"))
    before = None if in_bytes else _split_of(description.get("pre_tokenizer") or {})
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens: list[bytes] = []
    types: list[int] = []
    for number in range(size):
        name = names.get(number, f"[PAD{number}]")
        tokens.append(name.encode("utf-8"))
        if number not in names:
            types.append(TokenType.UNUSED)
        elif in_bytes and number == tokenizer.unk_token_id:
            types.append(TokenType.UNKNOWN)
        elif number in added:
            types.append(TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED)
        else:
            types.append(TokenType.BYTE if in_bytes and _BYTE.fullmatch(name) else TokenType.NORMAL)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    if (
        in_bytes
    ):  # merged by score, which falls with the number of a token as in the tokenizer that this one was made from
        return Vocabulary("llama", None, tokens, types, [], [-float(number) for number in range(size)])
    return Vocabulary("gpt2", before, tokens, types, merges, [])


def _split_of(description: Mapping[str, Any]) -> str:
    """llama.cpp's name of a pre-tokenizer."""
    parts = description.get("pretokenizers") or [description]
    kinds = [part.get("type") for part in parts]
    if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return "smollm"
    if kinds[:1] == ["Split"]:
        pattern = parts[0]["pattern"].get("Regex")
        if pattern in _SPLITS:
            return _SPLITS[pattern]
    raise _refused("its tokenizer splits text in a way that is not known here")


def _refused(why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"This model cannot be written as GGUF, because {why}; export it to onnx, or convert a stock folder by llama.cpp's own "
        "convert_hf_to_gguf.py."
    )
