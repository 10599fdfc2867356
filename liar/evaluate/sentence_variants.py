"""Small edits of an English sentence, made by simple rules without a grammar, to test how stable a label is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_NEGATION = re.compile(r"\b(?:not|no|never)\s+|n['\u2019]t\b", re.IGNORECASE)
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|can|could|will|would|does|do|did)\b", re.IGNORECASE)
_ADVERBS = {
    "very": "hardly",
    "so": "hardly",
    "really": "hardly",
    "deeply": "hardly",
    "quite": "barely",
    "quietly": "loudly",
    "always": "rarely",
    "often": "rarely",
    "never": "always",
    "rarely": "often",
    "hardly": "very",
    "barely": "quite",
    "too": "not too",
    "just": "not even",
}
_ADVERB = re.compile(rf"\b(?:{'|'.join(_ADVERBS)})\b", re.IGNORECASE)
_DOUBLE_GAP = re.compile(r" (?=[ ,.;:!?…])")
"""The surplus space that a dropped word leaves."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """An edited sentence; ``name`` describes the edit."""

    name: str
    text: str


def perturbations(sentence: str) -> list[Perturbation]:
    """Edits that change ``sentence``, in a fixed order and without two of the same text."""
    found: dict[str, str] = {}
    for name, edit in _EDITS.items():
        text = edit(sentence).strip()
        if text and text != sentence.strip():
            found.setdefault(text, name)
    return [Perturbation(name, text) for text, name in found.items()]


def _without_negation(sentence: str) -> str:
    return _NEGATION.sub("", sentence)


def _negated(sentence: str) -> str:
    """Negate the first verb (``is`` -> ``is not``); leave a sentence that contains a negation unchanged."""
    return sentence if _NEGATION.search(sentence) else _VERB.sub(lambda verb: f"{verb[0]} not", sentence, count=1)


def _another_adverb(sentence: str) -> str:
    return _ADVERB.sub(lambda adverb: _ADVERBS[adverb[0].lower()], sentence, count=1)


def _before_last_word(extra: str) -> Callable[[str], str]:
    def edit(sentence: str) -> str:
        return _replaced(sentence, _last, lambda word: f"{extra} {word}")

    return edit


def _without_punctuation(sentence: str) -> str:
    return " ".join(re.sub(r"[^\w\s'\u2019]", " ", sentence).split())


def _swapped_letters(word: str) -> str:
    """Swap the second and third letter, a typing error: ``moving`` -> ``mvoing``."""
    return word if len(word) < 4 else word[0] + word[2] + word[1] + word[3:]


def _first(words: list[re.Match[str]]) -> re.Match[str]:
    return words[0]


def _last(words: list[re.Match[str]]) -> re.Match[str]:
    return words[-1]


def _longest(words: list[re.Match[str]]) -> re.Match[str]:
    return max(words, key=lambda word: len(word[0]))


def _replaced(sentence: str, pick: Callable[[list[re.Match[str]]], re.Match[str]], change: Callable[[str], str]) -> str:
    """The sentence with one word changed; unchanged if it has no words."""
    words = list(_WORD.finditer(sentence))
    if not words:
        return sentence
    word = pick(words)
    changed = sentence[: word.start()] + change(word[0]) + sentence[word.end() :]
    return _DOUBLE_GAP.sub("", changed)


_EDITS: dict[str, Callable[[str], str]] = {
    "negated": _negated,
    "without its negation": _without_negation,
    "another adverb": _another_adverb,
    "“not” before the last word": _before_last_word("not"),
    "“very” before the last word": _before_last_word("very"),
    "without its first word": lambda sentence: _replaced(sentence, _first, lambda _: ""),
    "without its longest word": lambda sentence: _replaced(sentence, _longest, lambda _: ""),
    "without its last word": lambda sentence: _replaced(sentence, _last, lambda _: ""),
    "longest word twice": lambda sentence: _replaced(sentence, _longest, lambda word: f"{word} {word}"),
    "typo in the longest word": lambda sentence: _replaced(sentence, _longest, _swapped_letters),
    "without punctuation": _without_punctuation,
    "in lower case": str.lower,
    "in capitals": str.upper,
    "with three exclamation marks": lambda sentence: sentence.rstrip(" .!?…") + "!!!",
    "repeated": lambda sentence: f"{sentence} {sentence}",
}
