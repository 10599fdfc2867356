"""Headline of the page: what was removed, what that cost, what the repair recovered; measured, forecast or unknown."""

from __future__ import annotations

from html import escape

import gradio as gr
from gradio.blocks import Block

from components.shared.browser import KEEP_HEIGHT
from components.shared.lookup import Known, Pruned
from components.shared.panel import Updates
from components.shared.provenance import Origin, pill
from liar.explore.forecast import Forecast
from liar.report.headline import gains_in_words, headline, headline_between, headline_of, in_all_words, went
from liar.report.interpolation import between_words
from liar.report.words.sentences import Outcome, outlook, parameters, recipe, unbroken
from liar.results import RunResult
from liar.spec import PruneSpec


class VerdictPanel:
    """Headline, what was gained, and whether that was measured or is predicted; the full layout adds all figures in words."""

    def __init__(self, result: RunResult | None) -> None:
        self.text = gr.HTML(_measured(result), js_on_load=KEEP_HEIGHT, elem_id="verdict")
        self.outputs: list[Block] = [self.text]

    def show(self, known: Known) -> Updates:
        """Headline of the current recipe, even if the panels below still show another run."""
        if known.run is not None:
            return {self.text: _measured(known.run)}
        if known.pruned is not None:
            return {self.text: _running(known, known.pruned)}
        if known.expected is not None:
            return {self.text: _expected(known, known.expected)}
        nothing, before = "Nothing is known of this recipe yet.", f"{went(known.spec)} gone: not measured yet."
        heading = nothing if known.spec.reads_dense else before
        unknown = f"<h2>{escape(unbroken(heading))}</h2>{_in_full(recipe(known.spec))}"
        return {self.text: _of(known.spec, f"{unknown}<p>{escape(known.missing)}</p>")}


def _measured(result: RunResult | None) -> str:
    if result is None:
        return "<h2>No run is stored yet: choose a model and press “Measure it”.</h2>"
    gained = gains_in_words(result.totals, result.gains)
    return _markup("Measured", headline(result), gained, result, _in_full(*in_all_words(result)))


def _running(known: Known, pruned: Pruned) -> str:
    """Headline of a run that goes on: the figures of the first task once they are measured on all three models."""
    figures = headline_of(known.spec, pruned.evaluations)
    heading = (
        f"{pill('Measured')} {escape(unbroken(figures))}" if figures else f"{went(known.spec)} gone: being measured."
    )
    gained = gains_in_words(known.expected.totals) if known.expected is not None else ""
    return _of(known.spec, f"<h2>{heading}</h2><p class='gains'>{gained}</p>{_in_full(recipe(known.spec))}")


def _expected(known: Known, expected: Forecast) -> str:
    """Headline of a recipe without a run: what lies between two measured ones, else that nothing is measured."""
    line = between_words(known.spec, known.measured)
    between = f"<span class='between'>{escape(unbroken(line))}.</span> " if line else ""
    sentence = headline_between(known.spec, known.measured) or f"{went(known.spec)} gone: not measured yet."
    more = f"<p class='full-only'>{between}{escape(outlook(expected))}</p>"
    made = f"{parameters(expected)} {recipe(expected.spec)}"
    return _markup(known.origin, sentence, gains_in_words(expected.totals), expected, more + _in_full(made))


def _markup(origin: Origin, sentence: str, gained: str, outcome: Outcome, more: str) -> str:
    """Headline, gains, and HTML of what the full layout adds."""
    heading = f"<h2>{pill(origin)} {escape(unbroken(sentence))}</h2><p class='gains'>{escape(unbroken(gained))}</p>"
    return _of(outcome.spec, heading + more)


def _in_full(*words: str) -> str:
    return "".join(f"<p class='full-only'>{escape(each)}</p>" for each in words)


def _of(spec: PruneSpec, markup: str) -> str:
    return f'<div data-recipe="{spec.key}">{markup}</div>'


def is_of_another(headline: str, spec: PruneSpec) -> bool:
    """Whether a headline names another recipe than ``spec``."""
    return "data-recipe=" in headline and f'data-recipe="{spec.key}"' not in headline
