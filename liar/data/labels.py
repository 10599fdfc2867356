"""Which classes a model's head has, and which label of a text means which of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from transformers import PreTrainedConfig, PreTrainedModel

from liar.data.tasks import LABELS
from liar.errors import AmbiguousLabelsError
from liar.models.heads import head_of
from liar.spec import Task


def is_classifier(model: PreTrainedModel) -> bool:
    """Whether the model has a head that puts a whole text into one of several classes."""
    return head_of([type(model).__name__]) == "sequence-classification" and len(class_names(model.config)) > 1


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """Names of the model's classes, in the order of its logits."""
    names = cast(Mapping[int, str], config.id2label or {})
    return tuple(names[index] for index in range(len(names)))


def named_classes(config: PreTrainedConfig, task: Task | None = None) -> dict[str, int]:
    """Name of a label, without case -> class of the model.

    A model that never named its classes (LABEL_0, LABEL_1, ...) is taken to have those of ``task``, in their order.
    """
    names = class_names(config)
    classes = {name.casefold(): index for index, name in enumerate(names)}
    expected = LABELS.get(task, ()) if task is not None else ()
    if len(names) == len(expected) and all(name.startswith("LABEL_") for name in names):
        classes |= {name.casefold(): index for index, name in enumerate(expected)}
    return classes


def classes_of(
    labels: Iterable[str], config: PreTrainedConfig, task: Task | None = None, *, possible: Iterable[str] = ()
) -> list[int | None]:
    """The model's class for each of ``labels``, which are all names of classes or all their numbers; None for unknown ones.

    A model may name its classes by digits that are not their numbers (stars "1" to "5" of classes 0 to 4). Then only all
    labels together tell what they are, with those that are ``possible`` beside them. Raises :class:`AmbiguousLabelsError` if
    they can be read either way.
    """
    given, all_labels = [label.casefold() for label in labels], [label.casefold() for label in possible]
    return _classes([*given, *all_labels], config, task, closed=bool(all_labels))[: len(given)]


def _classes(wanted: list[str], config: PreTrainedConfig, task: Task | None, *, closed: bool) -> list[int | None]:
    """``closed`` if ``wanted`` has every label that there is: they are no numbers of classes if one of them is none."""
    names, numbers = named_classes(config, task), {str(index): index for index in range(len(class_names(config)))}
    as_names, as_numbers = ([reading.get(label) for label in wanted] for reading in (names, numbers))
    if None in as_names and None in as_numbers:
        return as_names if closed or as_names.count(None) <= as_numbers.count(None) else as_numbers
    if None not in as_names and None not in as_numbers and as_names != as_numbers:
        seen = ", ".join(sorted(set(wanted)))
        raise AmbiguousLabelsError(
            f"The labels {seen} may be names of the model's classes ({', '.join(class_names(config))}) or their numbers from "
            f"0; take more texts, or name the classes so that no name is another one's number."
        )
    return as_numbers if None in as_names else as_names
