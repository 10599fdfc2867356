"""Of which recipe the figures of a panel are, and whether they were measured or are predicted.

Whatever says so carries its recipe's key in ``data-recipe``, so that a test can hold it against the figures below it.
"""

from __future__ import annotations

from html import escape
from typing import Literal

import gradio as gr

from liar.results import RunResult
from liar.spec import PruneSpec
from liar.words import recipe

Origin = Literal["Measured", "Predicted"]


def pill(origin: Origin) -> str:
    return f'<span class="kind {origin.lower()}">{origin}</span>'


def of_another(shown: PruneSpec) -> str:
    """A note inside a panel that still shows the run of another recipe than the chosen one."""
    return (
        f'<p class="stale">Still the run of another recipe ({escape(recipe(shown).rstrip("."))}). '
        "Press “Apply” to measure the chosen one.</p>"
    )


class Provenance:
    """A line at the head of a panel whose figures change only with a run; empty while they are of the chosen recipe."""

    def __init__(self, run: RunResult | None) -> None:
        self.line = gr.HTML(self.say(run.spec, run) if run else "", elem_classes=["provenance"])

    @staticmethod
    def say(chosen: PruneSpec, shown: RunResult | None) -> str:
        """``shown`` is the run in the panel, ``chosen`` the recipe on screen."""
        if shown is None:
            return ""
        stale = shown.spec.key != chosen.key
        keys = f'data-recipe="{shown.spec.key}"' + (f' data-chosen="{chosen.key}"' if stale else "")
        return f"<div {keys}>{of_another(shown.spec) if stale else ''}</div>"
