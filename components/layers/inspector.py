"""Inspector of one site: its formula, its errors, and five figures with a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from html import escape

import gradio as gr
from gradio.blocks import Block
from latex2mathml.converter import convert
from plotly.graph_objects import Figure

from components.layers.by_hand import ByHand
from components.layers.maps import Mapped
from components.shared.markup import cell, row, table
from components.shared.panel import Updates
from components.shared.provenance import Origin
from components.shared.studio import Bus, Studio
from liar.errors import LiarError
from liar.explore.atlas import Atlas, SiteAtlas
from liar.explore.forecast import forecast
from liar.report.plots.site_figures import site_correlations, site_errors, site_scores, site_spectrum, site_units
from liar.report.view import Reported, View
from liar.report.words.site_sentences import error_words, errors_of, formula, place, reconstructions_of, why_they_differ
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import PruneSpec

_EMPTY = "Click a site in the picture, or its row in the table, to look into it."
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
    """Place of a figure of the site, with a sentence below it."""

    def __init__(self, name: str) -> None:
        with gr.Column(min_width=250, elem_classes=["site-figure"]) as self.column:
            self.plot = gr.Plot(show_label=False, container=False, elem_id=f"site-{name}")
            gr.HTML(f"<p>{_EXPLAINED[name]}</p>", elem_classes=["caption"])

    def show(self, figure: Figure | None) -> Updates:
        """Draw ``figure``, or hide its place if there is none."""
        if figure is None:
            return {self.column: gr.update(visible=False)}
        return {self.column: gr.update(visible=True), self.plot: figure}


class Inspector:
    """The selected site: its formula, its errors, five figures, and its edits by hand."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.by_hand = ByHand(studio, bus)
        self.hint = gr.HTML(f"<p>{_EMPTY}</p>", elem_id="site-hint")
        self.figures: dict[str, _Figure] = {}
        with gr.Column(visible=False, elem_id="site") as self.body:
            self.words = gr.HTML("", elem_id="site-words")
            for names in (("errors", "scores"), ("units", "spectrum", "correlations")):
                with gr.Row():
                    self.figures |= {name: _Figure(name) for name in names}
            self.by_hand.lay_out()
        figures = [part for figure in self.figures.values() for part in (figure.column, figure.plot)]
        self.outputs: list[Block] = [self.hint, self.body, self.words, *figures]

    def draw(self, outcome: Mapped, view: View, atlas: Atlas | None, origin: Origin) -> Updates:
        """Show the selected site: the report of it, and what the curves of ``atlas`` predict, if there are any."""
        spec, name = outcome.spec, view.site
        if not spec.cuts_width:
            return self.clear()
        report = _named(name, outcome.sites)
        if report is None or not report.kept:
            why = "went with its layer" if report else "is not pruned by this recipe"
            hint = f"{name} {why}; choose another cell." if name else _EMPTY
            return {**self.clear(), self.hint: f"<p>{escape(hint)}</p>"}
        predicted = _predicted(spec, name, atlas)
        chart = atlas.site(name) if atlas and predicted else None
        both = {"Predicted": predicted, "Measured": report if origin == "Measured" else None}
        known = {words: each for words, each in both.items() if each}
        kept = report.kept_units
        site = chart.site if chart else Site(report.layer, report.kind, report.units)
        figures = {"units": site_units(site, kept)}
        if chart and predicted:
            errors = site_errors(
                chart, spec.criterion, predicted, spec.reconstruction, view.weighting, view.scale, known.get("Measured")
            )
            figures |= {
                "errors": errors,
                "scores": site_scores(chart, spec.criterion, kept),
                "spectrum": site_spectrum(chart),
                "correlations": site_correlations(chart, kept),
            }
        updates = {
            self.hint: "" if chart else f"<p>{_NO_CURVES}</p>",
            self.body: gr.update(visible=True),
            self.words: _site_words(report, spec, chart) + _errors(known, spec, view.weighting),
        }
        for part, figure in self.figures.items():
            updates |= figure.show(figures.get(part))
        return updates

    def clear(self) -> Updates:
        """Hide the site and the hint, because no site is known."""
        return {self.hint: "", self.body: gr.update(visible=False)}


def _named(name: str, sites: Iterable[SiteReport]) -> SiteReport | None:
    return next((site for site in sites if site.name == name), None)


def _predicted(spec: PruneSpec, name: str, atlas: Atlas | None) -> SiteReport | None:
    """What the curves alone predict of a site; None if there are none."""
    with suppress(LiarError):
        return _named(name, forecast(spec, atlas).sites) if atlas else None
    return None


def _site_words(report: SiteReport, spec: PruneSpec, chart: SiteAtlas | None) -> str:
    unit, name = "neurons" if report.kind == "ffn" else "query heads", place(report)
    lines = formula(chart, report.kept // chart.site.group, spec.reconstruction) if chart else ()
    typeset = "".join(convert(line, display="block") for line in lines)
    return (
        f'<h3 data-site="{escape(report.name)}">{escape(name[:1].upper() + name[1:])}</h3>'
        f"<p>{report.kept:,} of {report.units:,} {unit} kept, scored by {spec.criterion}.</p>"
        + (f'<div class="formula" role="region" aria-label="Formula" tabindex="0">{typeset}</div>' if lines else "")
    )


def _errors(known: Mapping[str, SiteReport], spec: PruneSpec, weighting: Reported) -> str:
    """Table of the ``known`` errors, a column each; the chosen reconstruction is highlighted. If there are both, a sentence
    about why they differ.
    """
    columns = {name: errors_of(report, weighting) for name, report in known.items()}
    error = "Error" if weighting == "plain" else "Norm-aware error"
    rows = (
        row(
            name,
            *(cell(error_words(errors.get(name))) for errors in columns.values()),
            class_="chosen" if name == spec.reconstruction else None,
        )
        for name in reconstructions_of(list(known.values()))
    )
    figures = table(("Reconstruction", *columns), rows, caption=f"{error}, share of the output's energy")
    return figures + (f"<p>{escape(why_they_differ(spec))}</p>" if len(known) > 1 else "")
