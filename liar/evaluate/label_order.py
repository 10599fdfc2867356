"""Which class of a model stands for which label of a task: by the names of its classes, else found on training texts.

The order is never fitted on the items that are evaluated. Published models often have unnamed classes in an order of
their own: an MNLI model read in the wrong order is right in 7 % of the items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice, permutations
from typing import TYPE_CHECKING

from liar.data.packing import evaluation_length
from liar.data.text_reader import read_samples
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.classification import logits_steps
from liar.models.heads import LabelOrder, class_names, has_unnamed_classes
from liar.progress import finish
from liar.tasks.record import Task
from liar.tasks.splits import letters_of

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_TEXTS = 300
"""Training texts on which the order is found."""

_MOST_CLASSES = 6
"""With more unnamed classes too many orders are possible; the task's own is taken."""


def settle_order(loaded: LoadedModel, task: Task, data: str | None = None) -> LabelOrder:
    """The classes of the model for ``task.labels``; kept in ``loaded.label_orders``, for its pruned variants too.

    Call it with the dense model; training texts are read from the copy below the folder ``data`` if one is given. Raises
    :class:`InvalidSpecError` if the model has another number of classes, or names that are not those of the task, and
    :class:`CalibrationError` if the training texts are needed and cannot be read.
    """
    if task.name not in loaded.label_orders:
        loaded.label_orders[task.name] = order_by_name(loaded, task) or _by_answers(loaded, task, data)
    return loaded.label_orders[task.name]


def order_by_name(loaded: LoadedModel, task: Task) -> LabelOrder | None:
    """The order by the names of the classes; None if they have no names. Raises what :func:`settle_order` raises."""
    names = class_names(loaded.model.config)
    position = {letters_of(name): index for index, name in enumerate(names)}
    if all(letters_of(label) in position for label in task.labels):
        classes = tuple(position[letters_of(label)] for label in task.labels)
        others = [name for index, name in enumerate(names) if index not in classes]
        note = f"{loaded.id} has classes that {task.name} lacks, and they are ignored: {_listed(others)}."
        return LabelOrder(classes, note if others else None)
    if len(names) != len(task.labels):
        raise InvalidSpecError(
            f"{loaded.id} has {len(names)} classes ({_listed(names)}), and {task.name} has {len(task.labels)} "
            f"({_listed(task.labels)}); choose another task, or measure labelled texts of your own with the task own."
        )
    if has_unnamed_classes(loaded.model.config) or all(name.isdecimal() for name in names):
        return None
    raise InvalidSpecError(
        f"The classes of {loaded.id} are {_listed(names)}, and those of {task.name} are {_listed(task.labels)}; choose another "
        "task, or give the classes their names in id2label of the model's config."
    )


def _by_answers(loaded: LoadedModel, task: Task, data: str | None) -> LabelOrder:
    """The order in which most of the first training texts are answered right."""
    count = len(task.labels)
    if count > _MOST_CLASSES:
        return LabelOrder(
            tuple(range(count)), f"The classes of {loaded.id} have no names and are read in the task's order."
        )
    read = read_samples(task.name, "train", 0, data=data)
    samples = [sample for sample in islice(read, _TEXTS) if sample.label in task.labels]
    if not samples:
        raise CalibrationError(
            f"The classes of {loaded.id} have no names, and {task.name} has no training texts to find their order on; give "
            "the classes their names in id2label of the model's config."
        )
    length = evaluation_length(None, loaded, task.length)
    logits, _ = finish(logits_steps(loaded.model, loaded.tokenizer, samples, length))
    labels = [task.labels.index(sample.label or "") for sample in samples]
    given = Counter(zip(labels, logits.argmax(dim=1).tolist(), strict=True))
    best = max(permutations(range(count)), key=lambda order: sum(given[pair] for pair in enumerate(order)))
    share = sum(given[pair] for pair in enumerate(best)) / len(samples)
    order = ", ".join(label for _, label in sorted(zip(best, task.labels, strict=True)))
    return LabelOrder(
        best,
        f"The classes of {loaded.id} have no names; read as {order}, the order that fits best, {100 * share:.0f} % of "
        f"{len(samples)} training texts are answered right.",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12])
