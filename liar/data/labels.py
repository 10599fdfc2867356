"""Which classes a model's head has, and which label of a text means which of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from transformers import PreTrainedConfig, PreTrainedModel

from liar.data.tasks import LABELS
from liar.models.heads import head_of
from liar.spec import Task


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether the model has a head that puts a whole text into one of several classes."""
    return head_of([type(model).__name__]) == "sequence-classification" and len(class_names(model.config)) > 1


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """Names of the model's classes, in the order of its logits."""
    names = cast(Mapping[int, str], config.id2label or {})
    return tuple(names[index] for index in range(len(names)))


def classes_of(config: PreTrainedConfig, task: Task | None = None) -> dict[str, int]:
    """Label -> class of the model: labels are names without case, or the class's number as text.

    A model that never named its classes (LABEL_0, LABEL_1, ...) is taken to have those of ``task``, in their order.
    """
    names = class_names(config)
    classes = {str(index): index for index in range(len(names))}
    classes |= {name.casefold(): index for index, name in enumerate(names)}
    expected = LABELS.get(task, ()) if task is not None else ()
    if len(names) == len(expected) and all(name.startswith("LABEL_") for name in names):
        classes |= {name.casefold(): index for index, name in enumerate(expected)}
    return classes
