"""The head of a checkpoint: its kind, from the name of the model class, and the classes of a classifier.

A model with any of these heads can be pruned and keeps its head. A loss for gradients give heads that predict the next token,
classify a whole text or mark an answer, and models without a head, which are embedders (:mod:`liar.models.embedder`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from liar.errors import AmbiguousLabelsError, InvalidSpecError, UnsupportedModelError
from liar.tasks.record import CLASSES, HeadKind, Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Problem = Literal["single-label", "multi-label", "regression"]
"""Meaning of a text classifier's logits: one of several classes, any number of them, or plain numbers."""

Head = Literal[
    "causal-lm", "sequence-classification", "token-classification", "question-answering", "masked-lm", "none"
]

_ENDINGS: Mapping[str, Head] = {
    "ForCausalLM": "causal-lm",
    "GPT2LMHeadModel": "causal-lm",
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "masked-lm",
    "Model": "none",
}
"""Kind of the head for each ending of a model class's name."""

_WITH_LOSS: frozenset[Head] = frozenset({"causal-lm", "sequence-classification", "question-answering", "none"})

_SERVING: Mapping[HeadKind, Head] = {
    "language-model": "causal-lm",
    "choice": "causal-lm",
    "sentence": "sequence-classification",
    "pair": "sequence-classification",
    "regression": "sequence-classification",
    "span": "question-answering",
    "embedding": "none",
    "search": "none",
    "similarity": "none",
    "rerank": "sequence-classification",
}
"""Kind of the head of a checkpoint that a task needs."""


def head_of(architectures: Sequence[str]) -> Head:
    """Kind of the head of the first model class in ``architectures``; "none" for an empty list.

    Raises :class:`UnsupportedModelError` for a head that would be lost because its kind is not supported.
    """
    if not architectures:
        return "none"
    for name in architectures:
        for ending, head in _ENDINGS.items():
            # BertLMHeadModel ends like a model without a head, but has one.
            if name.endswith(ending) and not (ending == "Model" and name.endswith("LMHeadModel")):
                return head
    known = ", ".join(ending for ending in _ENDINGS if ending.startswith("For"))
    raise UnsupportedModelError(
        f"The head of {architectures[0]} cannot be kept; load the model with a class of transformers that ends in one of "
        f"{known}, or without its head, save that with save_pretrained, and name the new folder."
    )


def architecture_for(kind: HeadKind) -> str:
    """End of the name of the model class for tasks of this ``kind``: ``ForQuestionAnswering``."""
    return next(ending for ending, head in _ENDINGS.items() if head == _SERVING[kind])


def serves(head: Head, config: PreTrainedConfig, kind: HeadKind) -> bool:
    """Whether a model with this ``head`` and ``config`` can do tasks of this ``kind``."""
    if _SERVING[kind] != head:
        return False
    if head != "sequence-classification":
        return True
    if kind in CLASSES:
        return problem_of(config) == "single-label"
    return problem_of(config) == "regression" and config.num_labels == 1


def kind_of(head: Head, config: PreTrainedConfig) -> HeadKind | None:
    """The first kind of task that the model can do; None if there is none."""
    return next((kind for kind in _SERVING if serves(head, config, kind)), None)


def task_for(head: Head, config: PreTrainedConfig, tasks: Iterable[Task]) -> Task | None:
    """The first of ``tasks`` that the model can do and whose labels, if it has classes, are those of the model."""
    fitting = (task for task in tasks if task.head is not None and serves(head, config, task.head))
    if head == "sequence-classification":
        own = {name.casefold() for name in class_names(config)}
        fitting = (task for task in fitting if {name.casefold() for name in task.labels} == own)
    return next(fitting, None)


def problem_of(config: PreTrainedConfig) -> Problem:
    """A classifier's problem as in transformers: ``problem_type`` if the config has it, else regression for one output.

    One output is never single-label, even if the config has that type: its softmax is constant.
    """
    named = getattr(config, "problem_type", None)
    if named == "multi_label_classification":
        return "multi-label"
    return "regression" if named == "regression" or config.num_labels == 1 else "single-label"


def answers_every_token(model: PreTrainedModel) -> bool:
    """Whether the model predicts something at every token of its text."""
    return head_of([type(model).__name__]) == "causal-lm"


def is_overconfident(model: PreTrainedModel) -> bool:
    """Whether noise before the model's head makes its answers too sure: not the number of a head with one output, nor a vector
    that counts by its direction.
    """
    head = head_of([type(model).__name__])
    return head != "none" and (head != "sequence-classification" or model.config.num_labels != 1)


def check_gradients(head: Head, *, streamed: bool = False) -> None:
    """Raise :class:`InvalidSpecError` if no gradients of a loss can be computed at a model's sites.

    ``streamed``: the model's weights are on the device only while they are used.
    """
    if head not in _WITH_LOSS:
        raise InvalidSpecError(
            "taylor, fisher, kfac and loss-curve take a loss from a head that predicts the next token, classifies a text or "
            f"marks an answer, or from an embedder without a head, and this model has one for {head}; choose the criterion "
            "fluctuation or obs with the allocation error-curve."
        )
    if streamed:
        raise InvalidSpecError(
            "taylor, fisher, kfac and loss-curve need a backward pass through the whole model, which is streamed "
            "here; choose the criterion fluctuation or obs with the allocation error-curve, or a device that holds the model."
        )


# -- classes -----------------------------------------------------------------------------------------------------------


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether the model's head classifies a whole text into several classes."""
    return head_of([type(model).__name__]) == "sequence-classification" and len(class_names(model.config)) > 1


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """The model's class for each label of a task; ``note``: a sentence on how it was found, if not by names."""

    classes: tuple[int, ...]
    note: str | None = None


def number_of(label: str | None) -> float | None:
    """``label`` as a finite number; None if it is none."""
    try:
        number = math.nan if label is None else float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """Names of the model's classes, in the order of its logits."""
    names = cast(Mapping[int, str], config.id2label or {})
    return tuple(str(names[index]) for index in range(len(names)))  # some configs name them by numbers


def has_unnamed_classes(config: PreTrainedConfig) -> bool:
    """Whether the classes have only the names that transformers gives by default: LABEL_0, LABEL_1, ..."""
    return all(name.startswith("LABEL_") for name in class_names(config))


def named_classes(config: PreTrainedConfig, expected: Sequence[str] = ()) -> dict[str, int]:
    """Mapping from the name of a label, case folded, to the class of the model.

    A model with unnamed classes (LABEL_0, LABEL_1, ...) is assumed to have the ``expected`` ones, in their order.
    """
    names = class_names(config)
    classes = {name.casefold(): index for index, name in enumerate(names)}
    if len(names) == len(expected) and has_unnamed_classes(config):
        classes |= {name.casefold(): index for index, name in enumerate(expected)}
    return classes


def classes_of(
    labels: Iterable[str], config: PreTrainedConfig, expected: Sequence[str] = (), *, possible: Iterable[str] = ()
) -> list[int | None]:
    """The model's class for each of ``labels``, all of them names of classes or all numbers; None for unknown ones.

    A class's name may be a digit other than its number (stars "1" to "5" of classes 0 to 4), so the reading
    that fits all labels and all ``possible`` ones is taken. Raises :class:`AmbiguousLabelsError` if both fit.
    """
    given, all_labels = [label.casefold() for label in labels], [label.casefold() for label in possible]
    wanted = given + all_labels
    names, numbers = named_classes(config, expected), {str(index): index for index in range(len(class_names(config)))}
    as_names, as_numbers = ([reading.get(label) for label in wanted] for reading in (names, numbers))
    are_names = None not in as_names
    if None in as_names and None in as_numbers:  # if all labels are known and do not all fit, they are names
        are_names = bool(all_labels) or as_names.count(None) <= as_numbers.count(None)
    elif are_names and None not in as_numbers and as_names != as_numbers:
        seen = ", ".join(sorted(set(wanted)))
        raise AmbiguousLabelsError(
            f"The labels {seen} may be names of the model's classes ({', '.join(class_names(config))}) or their numbers from "
            f"0; take more texts, or name the classes so that no name is another one's number."
        )
    return (as_names if are_names else as_numbers)[: len(given)]
