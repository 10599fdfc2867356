"""What a task is: one record that names its head kind, data, columns, metrics, labels, chance level and default length.

>>> from liar.tasks.registry import task_named
>>> task = task_named("mnli")
>>> task.head, task.metrics, task.labels, round(task.chance, 2)
('pair', ('accuracy',), ('entailment', 'neutral', 'contradiction'), 0.33)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from liar.tasks.metrics import METRICS, Metric, MetricName
from liar.tasks.samples import Sample
from liar.tasks.splits import Split
from liar.tasks.texts import Text

HeadKind = Literal[
    "language-model", "sentence", "pair", "regression", "span", "choice", "embedding", "search", "similarity", "rerank"
]
"""What a model must be able to do for a task.

Predict the next token; classify a text or a pair of texts; give a number to a text or a pair; mark the answer to a
question in its context; with a language model, choose the most probable of several endings; with an embedder, keep the vectors
of the dense model, find texts, or give a number to a pair by the similarity of its vectors; or order texts by a pair's score.
"""

CLASSES: frozenset[HeadKind] = frozenset({"sentence", "pair"})
OF_EMBEDDERS: frozenset[HeadKind] = frozenset({"embedding", "search", "similarity"})
OF_LANGUAGE_MODELS: frozenset[HeadKind] = frozenset({"language-model", "choice"})

ITEM_WORDS: Mapping[HeadKind | None, str] = {
    "pair": "pairs",
    "span": "questions",
    "choice": "items",
    "search": "queries",
    "similarity": "pairs",
    "rerank": "queries",
}
"""What the items of a kind of task are called, if not texts."""

Keyed = tuple[str, Sample]
"""A sample and the key that decides its split: samples with one key are never in two splits."""


@dataclass(frozen=True, slots=True)
class DemoData:
    """Items made by ``build`` from the rows of texts of the demo bundle; no hub is needed.

    ``build`` is None if the running text itself is measured. With several texts, windows are taken from each in turn.
    """

    texts: tuple[Text, ...]
    build: Callable[[Sequence[Any]], Iterable[Keyed]] | None = None


@dataclass(frozen=True, slots=True)
class HubData:
    """A dataset of the hub, or a local copy of it in the hub's layout.

    ``parts`` maps the splits to the names of the dataset's parts; a published test part without labels is never named,
    so the validation part serves as "test".
    """

    dataset: str
    config: str | None
    parts: Mapping[Split, str]


@dataclass(frozen=True, slots=True)
class HarnessData:
    """A task of lm-evaluation-harness with this ``name``."""

    name: str


@dataclass(frozen=True, slots=True)
class OwnData:
    """Data that the user names in the recipe."""


@dataclass(frozen=True, slots=True)
class Training:
    """Settings with which the adapter of a demo task is trained, where they differ from the defaults."""

    epochs: int = 4
    learning_rate: float = 1e-3
    sequence_length: int = 64
    rank: int = 16


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    ``columns`` are the columns of its text or texts, ``label`` that of the label; the first of ``metrics`` is the main
    one. ``labels`` are the names of the classes in the order of their numbers in the data. ``chance`` is the value of the
    main metric for answers without knowledge. ``length``: default tokens of a window or most of a text, ``count``:
    default number of windows or items. ``prompts`` suit its models. ``beside``: tasks that are measured
    with it unless others are asked for. ``training``: its adapter is shipped.
    """

    name: str
    title: str
    head: HeadKind | None
    data: DemoData | HubData | HarnessData | OwnData
    metrics: tuple[MetricName, ...]
    columns: tuple[str, ...] = ()
    label: str = "label"
    labels: tuple[str, ...] = ()
    choices: int | None = None
    length: int = 256
    count: int = 1_200
    prompts: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    training: Training | None = field(default=None, compare=False)

    @property
    def metric(self) -> Metric:
        """The main metric."""
        return METRICS[self.metrics[0]]

    @property
    def chance(self) -> float | None:
        """Main metric of a random answer; None if there is no such level, or zero in any case."""
        answers = self.choices or len(self.labels)
        if self.metric.reads == "right" and answers:
            return 1 / answers
        return 0.0 if self.metric.reads == "classes" else None

    @property
    def texts(self) -> tuple[Text, ...]:
        """The texts of the demo bundle that it is measured on; empty if it needs other data."""
        return self.data.texts if isinstance(self.data, DemoData) else ()

    @property
    def origin(self) -> str:
        """Where its data come from: ``demo bundle``, a dataset of the hub, the harness, or the recipe."""
        if isinstance(self.data, HubData):
            return f"{self.data.dataset}, {self.data.config}" if self.data.config else self.data.dataset
        return {DemoData: "demo bundle", HarnessData: "lm-evaluation-harness"}.get(
            type(self.data), "named in the recipe"
        )

    @property
    def is_bundled(self) -> bool:
        """Whether its data are in the demo bundle."""
        return bool(self.texts)

    @property
    def takes_texts(self) -> bool:
        """Whether data that a recipe names replace its texts; for other tasks they are a folder with copies of datasets."""
        return isinstance(self.data, DemoData | OwnData)

    @property
    def is_running(self) -> bool:
        """Whether a running text is measured, which has no items."""
        return isinstance(self.data, DemoData) and self.data.build is None
