"""Tasks of lm-evaluation-harness: the common-sense questions of the paper, and any other by its name there."""

from __future__ import annotations

from liar.tasks.metrics import MetricName
from liar.tasks.record import HarnessData, Task

HARNESS = "harness:"
"""Prefix of the name of any task of the harness."""


def _harness(name: str, title: str, choices: int, *, by_length: bool = True) -> Task:
    metrics: tuple[MetricName, ...] = ("accuracy", "normalized-accuracy") if by_length else ("accuracy",)
    return Task(name, title, "choice", HarnessData(name), metrics, choices=choices, count=500)


COMMON_SENSE: tuple[Task, ...] = (
    _harness("boolq", "BoolQ, yes or no", 2, by_length=False),
    _harness("piqa", "PIQA, everyday physics", 2),
    _harness("hellaswag", "HellaSwag, what comes next", 4),
    _harness("winogrande", "WinoGrande, what a pronoun means", 2, by_length=False),
    _harness("arc_easy", "ARC, easy", 4),
    _harness("arc_challenge", "ARC, challenge", 4),
    _harness("openbookqa", "OpenBookQA", 4),
)


def any_of_the_harness(name: str) -> Task:
    """Record of the task that the harness calls ``name``; its metrics are those that the harness computes."""
    return Task(f"{HARNESS}{name}", name, "choice", HarnessData(name), ("accuracy",), count=500)
