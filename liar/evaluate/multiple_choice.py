"""Multiple choice by a causal language model: the ending to which it gives the highest likelihood after the context.

Tokens, truncation and both kinds of accuracy are those of lm-evaluation-harness, so that figures can be compared.

>>> from liar import load_model
>>> from liar.evaluate.multiple_choice import choice_steps
>>> from liar.progress import finish
>>> from liar.tasks.samples import Sample
>>> loaded = load_model("tiny")
>>> items = [Sample("One and one make", endings=(" two.", " three."))]
>>> (loglikelihoods,) = finish(choice_steps(loaded.model, loaded.tokenizer, items))
>>> loglikelihoods.shape
torch.Size([2])
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from liar.errors import CalibrationError
from liar.evaluate.branches import score_steps
from liar.evaluate.outcome import Outcome, Steps, digest_of_samples
from liar.progress import relay
from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.samples import Sample


def choice_steps(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]
) -> Generator[tuple[int, int], None, list[Tensor]]:
    """Yield (items done, items in all), return the log likelihoods in nats of each item's endings, float64 on the CPU.

    Each is the sum over the tokens of an ending after its context. What exceeds the model's positions is cut from the
    beginning of the context. Raises :class:`CalibrationError` for an ending without a token of its own or with more than
    the model has positions, and for an empty context if the tokenizer has neither a begin nor an end token.
    """
    pairs = ((ending, *_encode_pair(tokenizer, sample.text, ending)) for sample in samples for ending in sample.endings)
    steps = score_steps(model, pairs, int(model.config.max_position_embeddings))
    scores = yield from relay(steps, lambda done: (done[0] * len(samples) // done[1], len(samples)))
    likelihoods = torch.tensor([likelihood for likelihood, _ in scores], dtype=torch.float64)
    return list(likelihoods.split([len(sample.endings) for sample in samples]))


def choose_steps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]) -> Steps:
    """Choose the most probable ending of each sample, as ``acc`` of the harness; a further score is that of the most
    probable one by length.
    """
    found = yield from choice_steps(model, tokenizer, samples)
    chosen = [int(likelihoods.argmax()) for likelihoods in found]
    wanted = [int(sample.label or 0) for sample in samples]
    right = [answer == label for answer, label in zip(chosen, wanted, strict=True)]
    by_length = zip(answers_by_length(found, samples), wanted, strict=True)
    items = Items(
        digest=digest_of_samples(samples, [str(label) for label in wanted]),
        right=packed(right),
        scores=[float(answer == label) for answer, label in by_length],
    )
    answers, labels = (
        [sample.endings[place].strip() for sample, place in zip(samples, places, strict=True)]
        for places in (chosen, wanted)
    )
    return Outcome(samples, items, answers, labels, right)


def answers_by_length(loglikelihoods: Sequence[Tensor], samples: Sequence[Sample]) -> list[int]:
    """The most likely ending for each of its characters, without one leading space: ``acc_norm`` of the harness."""
    lengths = (torch.tensor([len(ending.removeprefix(" ")) for ending in sample.endings]) for sample in samples)
    return [int((of_item / each).argmax()) for of_item, each in zip(loglikelihoods, lengths, strict=True)]


def _encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, ending: str) -> tuple[list[int], list[int]]:
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
