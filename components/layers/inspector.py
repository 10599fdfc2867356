"""Inspector of one site: its formula, its errors, and five figures with a sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import gradio as gr
from gradio.blocks import Block
from latex2mathml.converter import convert
from plotly.graph_objects import Figure

from components.layers.by_hand import ByHand
from components.shared.markup import cell, row, table
from components.shared.panel import Updates
from components.shared.studio import Bus, Studio
from liar.explore.atlas import SiteAtlas
from liar.report.plots.site_figures import site_correlations, site_errors, site_scores, site_spectrum, site_units
from liar.report.view import View
from liar.report.words.site_sentences import error_words, errors_of, formula, place, reconstructions_of, why_they_differ
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import PruneSpec

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


@dataclass(frozen=True, slots=True)
class Selected:
    """The site that ``view`` selects: its ``chart``, and the ``report`` that is shown of it in a recipe ``spec``.

    ``measured`` is that report if it was measured, and ``predicted`` what the curves alone say.
    """

    view: View
    spec: PruneSpec
    report: SiteReport | None
    chart: SiteAtlas | None
    predicted: SiteReport | None
    measured: SiteReport | None


class _Figure:
    """A figure of the site with a sentence below it; both are hidden if there is nothing to draw."""

    def __init__(self, name: str) -> None:
        with gr.Column(min_width=250, elem_classes=["site-figure"]) as self.column:
            self.plot = gr.Plot(show_label=False, container=False, elem_id=f"site-{name}")
            gr.HTML(f"<p>{_EXPLAINED[name]}</p>", elem_classes=["caption"])

    def show(self, figure: Figure) -> Updates:
        return {self.column: gr.update(visible=True), self.plot: figure}


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
        self._figures: list[_Figure] = [self.errors, self.scores, self.units, self.spectrum, self.correlations]
        figures = [part for figure in self._figures for part in (figure.column, figure.plot)]
        self.outputs: list[Block] = [self.hint, self.body, self.words, *figures]

    # -- figures and words --------------------------------------------------------------------------------------

    def draw(self, site: Selected) -> Updates:
        """Show the selected site."""
        view, spec, report = site.view, site.spec, site.report
        if not spec.cuts_width:
            return self.clear()
        if report is None:
            hint = f"{view.site} is not pruned by this recipe; choose another cell." if view.site else _EMPTY
            return {**self.clear(), self.hint: f"<p>{escape(hint)}</p>"}
        updates = {self.body: gr.update(visible=True), self.words: _site_words(site, report)}
        chart, predicted, kept = site.chart, site.predicted, report.kept_units
        if chart is None or predicted is None:
            hidden = {figure.column: gr.update(visible=False) for figure in self._figures}
            units = site_units(Site(report.layer, report.kind, report.units), kept)
            return {**updates, self.hint: f"<p>{_NO_CURVES}</p>", **hidden, **self.units.show(units)}
        errors = site_errors(
            chart, spec.criterion, predicted, spec.reconstruction, view.weighting, view.scale, site.measured
        )
        return {
            **updates,
            self.hint: "",
            **self.units.show(site_units(chart.site, kept)),
            **self.errors.show(errors),
            **self.scores.show(site_scores(chart, spec.criterion, kept)),
            **self.spectrum.show(site_spectrum(chart)),
            **self.correlations.show(site_correlations(chart, kept)),
        }

    def clear(self) -> Updates:
        """Hide the site and the hint, because no site is known."""
        return {self.hint: "", self.body: gr.update(visible=False)}


def _site_words(site: Selected, report: SiteReport) -> str:
    unit = "neurons" if report.kind == "ffn" else "query heads"
    name, spec, chart = place(report), site.spec, site.chart if site.predicted else None
    lines = formula(chart, report.kept // chart.site.group, spec.reconstruction) if chart else ()
    typeset = "".join(convert(line, display="block") for line in lines)
    why = f"<p>{escape(why_they_differ(spec))}</p>" if site.predicted and site.measured else ""
    return (
        f'<h3 data-site="{escape(report.name)}">{escape(name[:1].upper() + name[1:])}</h3>'
        f"<p>{report.kept:,} of {report.units:,} {unit} kept, scored by {spec.criterion}.</p>"
        + (f'<div class="formula" role="region" aria-label="Formula" tabindex="0">{typeset}</div>' if lines else "")
        + _predicted_and_measured(site)
        + why
    )


def _predicted_and_measured(site: Selected) -> str:
    """Table of the known errors, a column each; the chosen reconstruction is highlighted."""
    both, weighting = {"Predicted": site.predicted, "Measured": site.measured}, site.view.weighting
    found = {name: report for name, report in both.items() if report}
    columns = {name: errors_of(report, weighting) for name, report in found.items()}
    error = "Error" if weighting == "plain" else "Norm-aware error"
    rows = (
        row(
            name,
            *(cell(error_words(errors.get(name))) for errors in columns.values()),
            class_="chosen" if name == site.spec.reconstruction else None,
        )
        for name in reconstructions_of(list(found.values()))
    )
    return table(("Reconstruction", *columns), rows, caption=f"{error}, share of the output's energy")
