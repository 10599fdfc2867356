"""What the head of a checkpoint is for, by the name of its model class.

The encoder of any of these can be pruned and its head is kept. Only two kinds of head give a loss to prune by: those that
predict the next token, and those that put a whole text into a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from liar.errors import InvalidSpecError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Problem = Literal["single-label", "multi-label", "regression"]
"""What the logits of a text classifier mean: one of several classes, several that may all hold, or plain numbers."""

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


def problem_of(config: PreTrainedConfig) -> Problem:
    """By the rule of transformers: ``problem_type`` where the config names one, else one output is a regression.

    One output is never a choice between classes, whatever the config says: its softmax is constant.
    """
    named = getattr(config, "problem_type", None)
    if named == "multi_label_classification":
        return "multi-label"
    return "regression" if named == "regression" or config.num_labels == 1 else "single-label"


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
