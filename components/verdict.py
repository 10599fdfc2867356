"""The sentence above everything: what went, what it broke, what the repair gave back; or what is to be expected."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from liar.results import RunResult
from liar.words import Outcome, outlook, parameters, recipe, rounding, verdict

if TYPE_CHECKING:
    from components.studio import Bus, Studio


class VerdictPanel:
    """One sentence to read, two lines to trust it by, and whether it was measured or is predicted."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.text = gr.HTML(_measured(result), elem_id="verdict")

    @property
    def outputs(self) -> list[Block]:
        return [self.text]

    def show(self, result: RunResult) -> Updates:
        return {self.text: _measured(result)}

    def expect(self, forecast: Outcome) -> Updates:
        """What the curves promise, before anything is done."""
        return {self.text: _markup("Predicted", outlook(forecast), forecast, [])}


def _measured(result: RunResult | None) -> str:
    if result is None:
        return "<h2>No run is stored yet: choose a model and press “Apply”.</h2>"
    return _markup("Measured", verdict(result), result, result.warnings)


def _markup(kind: str, sentence: str, outcome: Outcome, warnings: list[str]) -> str:
    cost = rounding(outcome)
    warned = "".join(f"<p class='warned'>{escape(warning)}</p>" for warning in warnings)
    return (
        f"<h2><span class='kind {kind.lower()}'>{kind}</span> {_unbroken(sentence)}</h2>"
        f"<p>{escape(parameters(outcome))}</p><p>{escape(recipe(outcome))}</p>"
        f"{f'<p>{escape(cost)}</p>' if cost else ''}{warned}"
    )


def _unbroken(sentence: str) -> str:
    """Markup of a sentence whose arrows and percentages do not fall apart at the end of a line."""
    return escape(sentence).replace(" → ", "&nbsp;→&nbsp;").replace(" %", "&nbsp;%")
