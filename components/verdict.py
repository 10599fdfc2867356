"""The sentence above everything: what went, what it broke, what the repair gave back."""

from __future__ import annotations

from html import escape

import gradio as gr
from gradio.blocks import Block

from components.panel import Updates
from liar.results import RunResult
from liar.words import parameters, recipe, verdict


class VerdictPanel:
    """One sentence to read, two lines to trust it by."""

    def __init__(self, result: RunResult | None) -> None:
        self.text = gr.HTML(_markup(result), elem_id="verdict")

    @property
    def outputs(self) -> list[Block]:
        return [self.text]

    def show(self, result: RunResult) -> Updates:
        return {self.text: _markup(result)}


def _markup(result: RunResult | None) -> str:
    if result is None:
        return "<h2>No run is stored yet: choose a model and press “Prune and repair”.</h2>"
    warnings = "".join(f"<p class='warned'>{escape(warning)}</p>" for warning in result.warnings)
    return (
        f"<h2>{_unbroken(verdict(result))}</h2>"
        f"<p>{escape(parameters(result))}</p><p>{escape(recipe(result))}</p>{warnings}"
    )


def _unbroken(sentence: str) -> str:
    """Markup of a sentence whose arrows and percentages do not fall apart at the end of a line."""
    return escape(sentence).replace(" → ", "&nbsp;→&nbsp;").replace(" %", "&nbsp;%")
