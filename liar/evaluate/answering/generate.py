"""Answers of a model: a continuation of the prompt token by token, or the reply of a model that only reads.

>>> from liar import load_model
>>> from liar.evaluate.answering.generate import generate
>>> answer = generate(load_model("tiny"), "Once upon a time", max_new_tokens=5)
>>> answer.variant, len(answer.tokens)
('dense', 5)
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from liar.errors import InvalidSpecError
from liar.evaluate.answering.reply import check_answers, check_room, check_written, reply, reply_length
from liar.models.decode import new_tokens
from liar.progress import finished
from liar.results import Generation, Token, Variant
from liar.runtime.devices import execution_device

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

MAX_NEW_TOKENS = 48
"""Default limit on the new tokens of a language model's answer."""

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""A tokenizer's output for bytes that do not form a whole character (yet)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One new token of an answer and the text it adds; the joined texts of all pieces are the answer.

    If a character takes several tokens, the last of them has its text. Other and special tokens have none.
    """

    token: int
    text: str


def generate_steps(
    loaded: LoadedModel,
    prompt: str,
    variant: Variant = "dense",
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
    dense: LoadedModel | None = None,
) -> Generator[Piece, None, Generation]:
    """Continue ``prompt`` piece by piece (language models), or reply in one step without pieces (other heads).

    Returns the :class:`Generation`. With a ``dense`` model it includes the answer's scores under that model, which take
    one more forward. ``variant`` only labels the result. For the other arguments see :func:`stream_tokens`.

    Raises :class:`InvalidSpecError` at the first step for an empty or too long prompt, a negative temperature, or a
    model without a head.
    """
    if not loaded.is_language_model:
        return reply(loaded, prompt, variant)
    stream = stream_tokens(loaded, prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    pieces: list[Piece] = []
    seconds = 0.0  # decoding alone, without the time that the consumer of the pieces takes
    while True:
        start = time.perf_counter()
        piece = next(stream, None)
        seconds += time.perf_counter() - start
        if piece is None:
            break
        pieces.append(piece)
        yield piece
    probabilities: Sequence[float | None] = [None] * len(pieces)
    perplexity: float | None = None
    if dense is not None and pieces:
        chosen = [piece.token for piece in pieces]
        ids = chosen if loaded.vocabulary is None else loaded.vocabulary.to_dense(chosen)
        probabilities, perplexity = score_under(dense, prompt, ids)
    return Generation(
        prompt=prompt,
        variant=variant,
        text="".join(piece.text for piece in pieces),
        tokens=[
            Token(text=piece.text, probability=probability)
            for piece, probability in zip(pieces, probabilities, strict=True)
        ],
        seconds=seconds,
        dense_perplexity=perplexity,
    )


generate = finished(generate_steps)
"""Run :func:`generate_steps` to its end and return the :class:`Generation`."""


# -- language models ----------------------------------------------------------------------------------------------------


def stream_tokens(
    loaded: LoadedModel, prompt: str, *, max_new_tokens: int = MAX_NEW_TOKENS, temperature: float = 0.0, seed: int = 0
) -> Iterator[Piece]:
    """Continue ``prompt``, as a chat turn if the tokenizer has a chat template; can be closed between any two pieces.

    With a ``temperature`` of 0 the likeliest token is taken. Above 0 tokens are sampled with a generator of their own,
    seeded with ``seed``. Sampling settings of the checkpoint are ignored. Raises :class:`InvalidSpecError` at the first
    step for an empty or too long prompt, a negative temperature or fewer than one new token.
    """
    check_written(prompt)
    if not temperature >= 0 or max_new_tokens < 1:
        raise InvalidSpecError("A temperature is at least 0, and at least one new token is needed to see anything.")
    read = prompt_tokens(loaded, prompt)
    check_room(loaded, read.shape[1], max_new_tokens)
    chosen = new_tokens(loaded.model, read, max_new_tokens, temperature, seed)
    yield from _pieces(loaded.tokenizer, chosen)


@torch.no_grad()
def score_under(dense: LoadedModel, prompt: str, tokens: Sequence[int]) -> tuple[list[float], float]:
    """Score ``tokens`` (at least one) as an answer of ``dense`` to ``prompt``, in one forward over both.

    Returns the probability (0..1) of each token, and exp of the mean negative log likelihood.
    """
    read = prompt_tokens(dense, prompt)
    answer = torch.tensor([list(tokens)])
    everything = torch.cat([read, answer], dim=1).to(execution_device(dense.model))
    # The logits that predict each token of the answer; the row after the last token is dropped.
    logits = dense.model(everything, use_cache=False, logits_to_keep=len(tokens) + 1).logits[0, :-1]
    chosen = logits.float().log_softmax(dim=-1).cpu().gather(1, answer.T).squeeze(1).double()
    return chosen.exp().tolist(), math.exp(-float(chosen.mean()))


def _pieces(tokenizer: PreTrainedTokenizerBase, tokens: Iterable[int]) -> Iterator[Piece]:
    """Tokens with their text, each yielded when its character is complete."""
    read: list[int] = []
    held: list[int] = []
    yielded = ""
    for token in tokens:
        read.append(token)
        held.append(token)
        text = _decoded(tokenizer, read)
        if not text.endswith(_UNFINISHED):
            yield from _shared(held, text[len(yielded) :])
            yielded, held = text, []
    yield from _shared(held, _decoded(tokenizer, read)[len(yielded) :])


def _shared(tokens: Sequence[int], text: str) -> Iterator[Piece]:
    """A piece for each of ``tokens``, with ``text`` in the last one."""
    for position, token in enumerate(tokens, start=1):
        yield Piece(token, text if position == len(tokens) else "")


def _decoded(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    # Without clean-up the text of more tokens always begins with the text of fewer.
    return str(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def prompt_tokens(loaded: LoadedModel, prompt: str) -> Tensor:
    """Token ids (1, length) of the prompt, as one chat turn if the tokenizer has a chat template."""
    tokenizer = loaded.tokenizer
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    else:
        encoded = tokenizer(prompt, return_tensors="pt")
    tokens: Tensor = encoded["input_ids"]
    return tokens


# -- prompts ------------------------------------------------------------------------------------------------------------


def check_prompt(loaded: LoadedModel, prompt: str, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
    """Raise :class:`InvalidSpecError` for a prompt that is empty or too long, and for a model that cannot answer it."""
    check_answers(loaded)
    check_written(prompt)
    if loaded.is_language_model:
        check_room(loaded, prompt_tokens(loaded, prompt).shape[1], max_new_tokens)
    else:
        check_room(loaded, reply_length(loaded, prompt), 0)


def fits(loaded: LoadedModel, prompt: str) -> bool:
    """Whether the model can answer ``prompt``, in a text of the default length if it writes one."""
    try:
        check_prompt(loaded, prompt)
    except InvalidSpecError:
        return False
    return True
