"""Lessons by their names, and what the checks of a task read, in Python: the page reads the same in its script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liar.course.figures import Shelf, evaluation_of
from liar.course.lesson import Check, Lesson, Task, lesson_named
from liar.course.lesson_figures import error_of


def named(name: str) -> Lesson:
    found = lesson_named(name)
    assert found is not None
    return found


def value_of(check: Check, task: Task, shelf: Shelf, choices: Mapping[str, Any]) -> float:
    """What a check reads of the recipe with ``choices``: of a forecast, of a measured task of the run."""
    if check.of == "metric":
        return evaluation_of(shelf.ran(task.model, **choices), "reconstructed", check.task).value
    if check.of == "divergence":
        return shelf.expected(task.model, **choices).divergence
    found = shelf.ran(task.model, **choices) if task.measured else shelf.expected(task.model, **choices)
    if check.of == "blocks":
        return found.totals.blocks_removed
    return error_of(found, check.repair or found.spec.reconstruction, check.site)


def holds(check: Check, value: float) -> bool:
    return (check.at_most is None or value <= check.at_most) and (check.at_least is None or value >= check.at_least)


def is_met(task: Task, shelf: Shelf, choices: Mapping[str, Any]) -> bool:
    """Whether a recipe with ``choices`` meets all checks."""
    return all(holds(check, value_of(check, task, shelf, choices)) for check in task.checks)
