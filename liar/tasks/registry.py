"""The registry of tasks: every name that a recipe may measure or calibrate on.

>>> from liar.tasks.registry import TASKS, task_named
>>> [task.name for task in TASKS if task.head == "regression"]
['rating', 'stsb']
>>> task_named("squad").metric.title
'F1 of answers'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from os.path import expanduser, isdir

from liar.errors import InvalidSpecError
from liar.tasks.demo import DEMO_TASKS
from liar.tasks.published import COMMON_SENSE, GLUE_TASKS, SQUAD
from liar.tasks.record import HarnessData, HeadKind, OwnData, Task
from liar.tasks.texts import Credit

HARNESS = "harness:"
"""Prefix of the name of any task of lm-evaluation-harness."""

OWN = Task("own", "your own data", None, OwnData(), ("accuracy",))
"""Labelled texts that the user names; head kind and metrics are those of the model, see :func:`own_task`."""

RETRIEVAL = Task("retrieval", "your own search", "search", OwnData(), ("ndcg", "recall"), count=500)
"""Queries and documents that the user names, see :func:`liar.data.search.read_search`; a reranker orders them, as
:data:`RERANKING`."""

RERANKING = replace(RETRIEVAL, head="rerank", metrics=("mrr", "ndcg"), count=200)

TASKS: list[Task] = [*DEMO_TASKS, *GLUE_TASKS, SQUAD, *COMMON_SENSE, RETRIEVAL, OWN]
"""Every task; append a record to add one."""


def task_named(name: str) -> Task:
    """The task with this name, or ``harness:NAME`` for any of the harness, with the metrics that the harness computes.

    Raises :class:`InvalidSpecError`.
    """
    for task in TASKS:
        if task.name == name:
            return task
    if name.startswith(HARNESS) and name != HARNESS and len(name) <= 200:
        own = name.removeprefix(HARNESS)
        return Task(name, own, "choice", HarnessData(own), ("accuracy",), count=500)
    names = [task.name for task in TASKS]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}? The tasks" if close else "the tasks"
    raise InvalidSpecError(f"There is no task {name[:80]!r}; {hint} are {', '.join(names)} and {HARNESS}NAME.")


def usual_tasks(name: str | None, data: str | None = None) -> tuple[str, ...]:
    """What is measured unless tasks are asked for: the task of a model, if it has one, and those beside it; and
    :data:`OWN` if ``data`` names texts and not a folder with copies of datasets.
    """
    known = () if name is None else (name, *task_named(name).beside)
    is_folder = data is not None and isdir(expanduser(data))  # unlike a Path it raises nothing for what can be none
    return known if data is None or is_folder else (*known, OWN.name)


def questions() -> list[Task]:
    """The tasks of the demo bundle that ask a language model something with a right answer."""
    return [task for task in TASKS if task.head == "choice" and task.is_bundled]


def own_task(head: HeadKind) -> Task:
    """The task of the user's own data for a model with this kind of head, measured as the first demo task of that kind."""
    first = next(task for task in DEMO_TASKS if task.head == head)
    return replace(OWN, head=head, metrics=first.metrics, count=first.count)


def is_task(name: str) -> bool:
    """Whether :func:`task_named` knows ``name``."""
    return name.startswith(HARNESS) or any(task.name == name for task in TASKS)


def credits_of(tasks: Iterable[str]) -> list[Credit]:
    """Attributions of the demo texts of ``tasks``, each once."""
    found = (text.source.credit for name in tasks for text in task_named(name).texts)
    return list(dict.fromkeys(found))
