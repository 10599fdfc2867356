"""Inspector of one site: its formula, its errors, and five figures with a sentence each."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import gradio as gr
from gradio.blocks import Block
from latex2mathml.converter import convert
from plotly.graph_objects import Figure

from components.layers.by_hand import ByHand
from components.shared.markup import cell, row, table
from components.shared.panel import Updates
from liar.explore.atlas import SiteAtlas
from liar.report.plots.site_errors import site_errors
from liar.report.plots.site_units import site_correlations, site_scores, site_spectrum, site_units
from liar.report.view import View
from liar.report.words.site_sentences import error_words, errors_of, formula, place, reconstructions_of, why_they_differ
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import PruneSpec

if TYPE_CHECKING:
    from components.shared.studio import Bus, Studio

_EMPTY = "Click a cell of the heatmap, or choose a row of the table, to look into a site."
_EXPLAINED = {
    "errors": "Each line is a repair: the error of this site at every ratio, read from the curves. The dashed line is where "
    "the recipe cuts.",
    "scores": "Every unit by its score; those right of the dashed line go. A mark on the other side is an exception: decided "
    "by hand, or a run that read other activations.",
    "units": "Every unit in the model's own order. Click one to keep or remove it; as many go as before, so another one takes "
    "its place.",
    "spectrum": "In how many independent directions the channels move. The faster the line falls, the more of them say the "
    "same, and the better those that stay can replace those that go.",
    "correlations": "Colour off the diagonal: two channels that say the same. Where a kept row meets a removed column it is "
    "what the repair uses.",
}
"""Sentence under each figure of a site."""

_NO_CURVES = "Nothing is calibrated for this recipe, so the curves, scores and channels of the site are not known."


class _Figure:
    """A figure of the site with a sentence below it; both are hidden if there is nothing to draw."""

    def __init__(self, name: str) -> None:
        with gr.Column(min_width=250, elem_classes=["site-figure"]) as self.column:
            self.plot = gr.Plot(show_label=False, container=False, elem_id=f"site-{name}")
            gr.HTML(f"<p>{_EXPLAINED[name]}</p>", elem_classes=["caption"])

    @property
    def outputs(self) -> list[Block]:
        return [self.column, self.plot]

    def show(self, figure: Figure) -> Updates:
        return {self.column: gr.update(visible=True), self.plot: figure}

    def hide(self) -> Updates:
        return {self.column: gr.update(visible=False)}


class Inspector:
    """The selected site: its formula, its errors, five figures, and its edits by hand."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.by_hand = ByHand(studio, bus)
        self.hint = gr.HTML(f"<p>{_EMPTY}</p>", elem_id="site-hint")
        with gr.Column(visible=False, elem_id="site") as self.body:
            self.words = gr.HTML("", elem_id="site-words")
            with gr.Row():
                self.errors = _Figure("errors")
                self.scores = _Figure("scores")
            with gr.Row():
                self.units = _Figure("units")
                self.spectrum = _Figure("spectrum")
                self.correlations = _Figure("correlations")
            self.by_hand.lay_out()

    @property
    def outputs(self) -> list[Block]:
        return [self.hint, self.body, self.words, *(part for figure in self._figures for part in figure.outputs)]

    @property
    def _figures(self) -> list[_Figure]:
        return [self.errors, self.scores, self.units, self.spectrum, self.correlations]

    # -- figures and words --------------------------------------------------------------------------------------

    def draw(
        self,
        report: SiteReport | None,
        view: View,
        chart: SiteAtlas | None,
        predicted: SiteReport | None,
        measured: SiteReport | None,
        spec: PruneSpec,
    ) -> Updates:
        """Show the site that ``view`` selects; ``report`` is its ``measured`` report, else the ``predicted`` one."""
        if not spec.cuts_width:
            return {self.hint: "", self.body: gr.update(visible=False)}
        if report is None:
            hint = f"{view.site} is not pruned by this recipe; choose another cell." if view.site else _EMPTY
            return {self.hint: f"<p>{escape(hint)}</p>", self.body: gr.update(visible=False)}
        chart = chart if predicted else None
        return {
            self.hint: "" if chart else f"<p>{_NO_CURVES}</p>",
            self.body: gr.update(visible=True),
            self.words: _site_words(report, view, chart, predicted, measured, spec),
            **self._draw_figures(report, view, chart, predicted, measured, spec),
        }

    def clear(self) -> Updates:
        """Hide the site and the hint, because no site is known."""
        return {self.hint: "", self.body: gr.update(visible=False)}

    def _draw_figures(
        self,
        report: SiteReport,
        view: View,
        chart: SiteAtlas | None,
        predicted: SiteReport | None,
        measured: SiteReport | None,
        spec: PruneSpec,
    ) -> Updates:
        site = Site(report.layer, report.kind, report.units) if chart is None else chart.site
        updates = self.units.show(site_units(site, report.kept_units))
        if chart is None or predicted is None:
            for figure in self._figures:
                updates |= {} if figure is self.units else figure.hide()
            return updates
        return (
            updates
            | self.errors.show(
                site_errors(chart, spec.criterion, predicted, spec.reconstruction, view.weighting, view.scale, measured)
            )
            | self.scores.show(site_scores(chart, spec.criterion, report.kept_units))
            | self.spectrum.show(site_spectrum(chart))
            | self.correlations.show(site_correlations(chart, report.kept_units))
        )


def _site_words(
    report: SiteReport,
    view: View,
    chart: SiteAtlas | None,
    predicted: SiteReport | None,
    measured: SiteReport | None,
    spec: PruneSpec,
) -> str:
    unit = "neurons" if report.kind == "ffn" else "query heads"
    name = place(report)
    kept = report.kept // chart.site.group if chart else 0
    lines = formula(chart, kept, spec.reconstruction) if chart else ()
    typeset = "".join(convert(line, display="block") for line in lines)
    why = f"<p>{escape(why_they_differ(spec))}</p>" if predicted and measured else ""
    return (
        f'<h3 data-site="{escape(report.name)}">{escape(name[:1].upper() + name[1:])}</h3>'
        f"<p>{report.kept:,} of {report.units:,} {unit} kept, scored by {spec.criterion}.</p>"
        + (f'<div class="formula" role="region" aria-label="Formula" tabindex="0">{typeset}</div>' if lines else "")
        + _predicted_and_measured(view, predicted, measured, spec)
        + why
    )


def _predicted_and_measured(
    view: View, predicted: SiteReport | None, measured: SiteReport | None, spec: PruneSpec
) -> str:
    """Table of the known errors, a column each; the chosen reconstruction is highlighted."""
    found = {"Predicted": predicted, "Measured": measured}
    columns = {name: errors_of(site, view.weighting) for name, site in found.items() if site}
    error = "Error" if view.weighting == "plain" else "Norm-aware error"
    rows = (
        row(
            name,
            *(cell(error_words(errors.get(name))) for errors in columns.values()),
            class_="chosen" if name == spec.reconstruction else None,
        )
        for name in reconstructions_of([site for site in found.values() if site])
    )
    return table(("Reconstruction", *columns), rows, caption=f"{error}, share of the output's energy")
