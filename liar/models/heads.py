"""What the head of a checkpoint is for, by the name of its model class.

The encoder of any of these can be pruned and its head is kept. Only two kinds of head give a loss to prune by: those that
predict the next token, and those that put a whole text into a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from liar.errors import InvalidSpecError, UnsupportedModelError

Head = Literal[
    "causal-lm", "sequence-classification", "token-classification", "question-answering", "masked-lm", "none"
]

_ENDINGS: Mapping[str, Head] = {
    "ForCausalLM": "causal-lm",
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "masked-lm",
    "Model": "none",
}
"""How the names of the model classes end."""

_DECODER_OF_AN_ENCODER = "LMHeadModel"
"""``BertLMHeadModel`` ends like a model without a head and has one."""

_WITH_LOSS: frozenset[Head] = frozenset({"causal-lm", "sequence-classification"})


def head_of(architectures: Sequence[str]) -> Head:
    """The head of the first model class in ``architectures``; "none" for an empty list.

    Raises :class:`UnsupportedModelError` for a head that would be lost: one that no class here stands for.
    """
    for name in architectures:
        if not name.endswith(_DECODER_OF_AN_ENCODER):
            for ending, head in _ENDINGS.items():
                if name.endswith(ending):
                    return head
    if not architectures:
        return "none"
    known = ", ".join(ending for ending in _ENDINGS if ending.startswith("For"))
    raise UnsupportedModelError(
        f"The head of {architectures[0]} cannot be kept; load the model with a class of transformers that ends in one of "
        f"{known}, or without its head, save that with save_pretrained, and name the new folder."
    )


def check_gradients(head: Head, *, streamed: bool = False) -> None:
    """Raise :class:`InvalidSpecError` for a model through which no loss can be taken back to its sites.

    ``streamed`` says that its weights come to the device only while they are used.
    """
    if head not in _WITH_LOSS:
        has = "has none" if head == "none" else f"has one for {head}"
        raise InvalidSpecError(
            "taylor, fisher and loss-curve take a loss from the head of a causal language model or a text classifier, and "
            f"this model {has}; choose the criterion fluctuation or obs with the allocation error-curve."
        )
    if streamed:
        raise InvalidSpecError(
            "taylor, fisher and loss-curve need a backward pass through the whole model, which is streamed here; choose "
            "the criterion fluctuation or obs with the allocation error-curve, or a device that holds the model."
        )
