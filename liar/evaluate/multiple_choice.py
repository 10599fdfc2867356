"""Multiple choice by a causal language model: the ending to which it gives the highest likelihood after the context.

Tokens, truncation and both kinds of accuracy are those of lm-evaluation-harness, so that figures can be compared.

>>> from liar import load_model
>>> from liar.evaluate.multiple_choice import choice_steps
>>> from liar.progress import finish
>>> from liar.tasks.samples import Sample
>>> loaded = load_model("tiny")
>>> items = [Sample("One and one make", endings=(" two.", " three."))]
>>> loglikelihoods = finish(choice_steps(loaded.model, loaded.tokenizer, items))
>>> loglikelihoods.shape, loglikelihoods.argmax(dim=1).shape
(torch.Size([1, 2]), torch.Size([1]))
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from liar.errors import CalibrationError
from liar.evaluate.branches import Pair, branched, check_ending, score_steps
from liar.evaluate.outcome import Outcome, Steps, digest_of_samples
from liar.progress import relay
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.samples import Sample


def choice_steps(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]
) -> Generator[tuple[int, int], None, Tensor]:
    """Yield (items done, items in all), return the endings' log likelihoods in nats, (items, endings) float64 on the CPU.

    Each is the sum over the tokens of an ending after its context; -inf where an item has fewer endings than others. What
    exceeds the model's positions is cut from the beginning of the context. Raises :class:`CalibrationError` for an
    ending without a token of its own or with more than the model has positions, and for an empty context if the tokenizer
    has neither a begin nor an end token.
    """
    positions = int(model.config.max_position_embeddings)
    pairs: list[Pair] = []
    for sample in samples:
        for ending in sample.endings:
            pairs.append(_encode_pair(tokenizer, sample.text, ending))
            check_ending(ending, pairs[-1][1], positions)
    steps = score_steps(model, branched(pairs, positions))
    scores = yield from relay(steps, lambda done: (done * len(samples) // len(pairs), len(samples)))
    likelihoods = (likelihood for found in scores for likelihood, _ in found)
    table = torch.full(
        (len(samples), max((len(sample.endings) for sample in samples), default=0)), -torch.inf, dtype=torch.float64
    )
    for row, sample in zip(table, samples, strict=True):
        row[: len(sample.endings)] = torch.tensor([next(likelihoods) for _ in sample.endings], dtype=torch.float64)
    return table


def choose_steps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]) -> Steps:
    """Choose the most probable ending of each sample, as ``acc`` of the harness; a further score is that of the most
    probable one by length.
    """
    found = yield from choice_steps(model, tokenizer, samples)
    chosen, by_length = found.argmax(dim=1).tolist(), answers_by_length(found, samples).tolist()
    wanted = [int(sample.label or 0) for sample in samples]
    right = [answer == label for answer, label in zip(chosen, wanted, strict=True)]
    scores = [float(answer == label) for answer, label in zip(by_length, wanted, strict=True)]
    return Outcome(
        samples=samples,
        items=Items(
            digest=digest_of_samples(samples, [str(label) for label in wanted]), right=packed(right), scores=scores
        ),
        answers=[sample.endings[answer].strip() for sample, answer in zip(samples, chosen, strict=True)],
        labels=[sample.endings[label].strip() for sample, label in zip(samples, wanted, strict=True)],
        right=right,
    )


def answers_by_length(loglikelihoods: Tensor, samples: Sequence[Sample]) -> Tensor:
    """The most likely ending for each of its characters, without one leading space: ``acc_norm`` of the harness."""
    lengths = torch.ones_like(loglikelihoods)
    for row, sample in zip(lengths, samples, strict=True):
        row[: len(sample.endings)] = torch.tensor([len(ending.removeprefix(" ")) for ending in sample.endings])
    return (loglikelihoods / lengths).argmax(dim=1)


def _encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, ending: str) -> Pair:
    """Token ids of a context and of its ending, split as lm-evaluation-harness does.

    Both are encoded together, with spaces at the end of the context counted to the ending. The begin token, or else the
    end token, stands for an empty context.
    """
    before = _encode(tokenizer, context.rstrip()) if context else []
    if before:
        return before, _encode(tokenizer, context + ending)[len(before) :]
    first, after = _first_token(tokenizer), _encode(tokenizer, context + ending, special_tokens=False)
    if first is None:
        raise CalibrationError(
            f"The context of {ending[:40]!r} is empty, and the tokenizer has neither a begin nor an end token to put in its "
            "place; give every item a context."
        )
    return ([first], after) if after[:1] != [first] else (after[:1], after[1:])


def _encode(tokenizer: PreTrainedTokenizerBase, text: str, *, special_tokens: bool = True) -> list[int]:
    """Token ids with special tokens, unless the text itself begins with the begin token."""
    first = _first_token(tokenizer)
    begun = first is not None and text.startswith(str(tokenizer.decode(first)))
    tokens: list[int] = tokenizer(text, add_special_tokens=special_tokens and not begun, verbose=False)["input_ids"]
    return tokens


def _first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    begin: int | None = tokenizer.bos_token_id
    return tokenizer.eos_token_id if begin is None else begin
