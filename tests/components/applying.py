"""A stand-in for the pipeline that a test can pause, and helpers to apply a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event as Gate
from typing import Any

from liar.events import Event, Finished, Progress, SiteDone
from liar.results import RunResult
from liar.spec import PruneSpec
from tests.components.visitor import Page, Visitor
from tests.fakes import language_run, site

SITES = [site(0, "attention"), site(0, "ffn")]


def result(spec: PruneSpec) -> RunResult:
    return language_run().model_copy(update={"spec": spec, "sites": SITES})


@dataclass
class Pipeline:
    """Stand-in for the pipeline: yields two sites, waits for ``gate``, then yields the event that ``ends`` returns."""

    gate: Gate = field(default_factory=Gate)
    ends: Callable[[PruneSpec], Event] = lambda spec: Finished(result(spec))
    asked: list[tuple[PruneSpec, list[str]]] = field(default_factory=list)
    closed: int = 0

    def stream(self, spec: PruneSpec, loaded: Any, *, prompts: list[str], earlier: Any) -> Iterator[Event]:
        self.asked.append((spec, prompts))
        try:
            for done, report in enumerate(SITES, start=1):
                yield SiteDone(report, done, len(SITES))
                yield Progress("prune", done, len(SITES), f"Pruned and repaired {report.name}", 3.0, 0.5)
            while not self.gate.wait(0.02):
                yield Progress("evaluate", 1, 2, "Measuring perplexity", 3.0, 0.7)
            yield self.ends(spec)
        finally:
            self.closed += 1


def applied(page: Page, visitor: Visitor, until: str) -> Iterator[None]:
    """Press the button and step until the status line contains ``until``; return the remaining steps."""
    steps = visitor.steps(page.apply.work.button, "click")
    for _ in steps:
        if until in visitor.sees(page.line):
            next(steps)  # one step more, so that the listeners to the states of this answer have run
            return steps
    raise AssertionError(f"the line never had {until!r} but {visitor.sees(page.line)!r}")


def is_idle(page: Page, visitor: Visitor) -> bool:
    return bool(visitor.prop(page.apply.work.button, "interactive")) and not visitor.prop(
        page.apply.work.stop, "interactive"
    )
