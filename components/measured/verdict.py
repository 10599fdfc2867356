"""Headline of the page: what was removed, what that cost, what the repair recovered; measured, forecast or unknown."""

from __future__ import annotations

from html import escape

import gradio as gr
from gradio.blocks import Block

from components.shared.browser import KEEP_HEIGHT
from components.shared.lookup import Known
from components.shared.panel import Updates
from components.shared.provenance import Origin, pill
from liar.report.interpolation import between_words
from liar.report.words.metric_sentences import measured_on
from liar.report.words.sentences import Outcome, outlook, parameters, recipe, unbroken, verdict
from liar.results import RunResult
from liar.spec import PruneSpec


class VerdictPanel:
    """Headline, two lines of detail, and whether it was measured or is predicted."""

    def __init__(self, result: RunResult | None) -> None:
        self.text = gr.HTML(_measured(result), js_on_load=KEEP_HEIGHT, elem_id="verdict")
        self.outputs: list[Block] = [self.text]

    def show(self, known: Known) -> Updates:
        """Headline of the current recipe, even if the panels below still show another run."""
        if known.run is not None:
            return {self.text: _measured(known.run)}
        if known.expected is not None:
            between = between_words(known.spec, known.measured)
            return {self.text: _markup(known.origin, outlook(known.expected), known.expected, [], between=between)}
        headline, why = "Nothing is known of this recipe yet.", f"<p>{escape(known.missing)}</p>"
        if known.pruned:
            headline, why = "Pruned and repaired; its metrics are being measured.", ""
        return {self.text: _of(known.spec, f"<h2>{headline}</h2><p>{escape(recipe(known.spec))}</p>{why}")}


def _measured(result: RunResult | None) -> str:
    if result is None:
        return "<h2>No run is stored yet: choose a model and press “Apply”.</h2>"
    return _markup("Measured", verdict(result), result, result.warnings, measured_on(result) or "")


def _markup(
    origin: Origin, sentence: str, outcome: Outcome, warnings: list[str], measured: str = "", between: str = ""
) -> str:
    interpolated = f"<p class='between'>{escape(unbroken(between))}.</p>" if between else ""
    warned = "".join(f"<p class='warned'>{escape(warning)}</p>" for warning in warnings)
    return _of(
        outcome.spec,
        f"<h2>{pill(origin)} {escape(unbroken(sentence))}</h2>{interpolated}"
        f"<p>{escape(unbroken(parameters(outcome)))}</p><p>{escape(f'{recipe(outcome.spec)} {measured}'.rstrip())}</p>"
        + warned,
    )


def _of(spec: PruneSpec, markup: str) -> str:
    return f'<div data-recipe="{spec.key}">{markup}</div>'


def is_of_another(headline: str, spec: PruneSpec) -> bool:
    """Whether a headline names another recipe than ``spec``."""
    return "data-recipe=" in headline and f'data-recipe="{spec.key}"' not in headline
