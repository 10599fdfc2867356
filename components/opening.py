"""What the page shows before anybody pressed a button: a finished run, the one that the address names if it is kept."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr
from gradio.blocks import Block

from components import status
from components.address import read_address
from components.panel import Panel, Updates, show_all
from components.recipe import Recipe, refusal
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import RunStore


def first_run(store: RunStore, spec: PruneSpec) -> RunResult | None:
    """The finished run of the default spec, else any run that is kept."""
    return store.find(spec) or next(iter(store.runs()), None)


class Opening:
    """Follows a link: fills recipe and panels from the query string of the address."""

    def __init__(self, recipe: Recipe, panels: list[Panel], line: gr.HTML, store: RunStore) -> None:
        self.recipe, self.panels, self.line, self.store = recipe, panels, line, store

    @property
    def outputs(self) -> list[Block]:
        return [self.line, *self.recipe.outputs, *(component for panel in self.panels for component in panel.outputs)]

    def open(self, request: gr.Request) -> Updates:
        return self.follow(request.query_params.items())

    def follow(self, pairs: Iterable[tuple[str, str]]) -> Updates:
        """Updates for a link; a bare address changes nothing."""
        spec, complaint = read_address(pairs)
        if spec is None:
            return {self.line: status.problem(complaint) if complaint else ""}
        if refused := refusal(spec):
            return {self.line: status.problem(refused)}
        result = self.store.find(spec)
        updates = self.recipe.fill(spec, result)
        if result is not None:
            updates |= show_all(self.panels, result)
        elif complaint is None:
            updates[self.line] = status.note(
                "The run of this link is not kept here: press “Prune and repair” to do it. You see another run."
            )
        if complaint is not None:
            updates[self.line] = status.problem(complaint)
        return updates
