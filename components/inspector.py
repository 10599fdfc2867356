"""Inspector of one site: its formula, its errors, five figures, and its edits by hand."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import gradio as gr
from gradio.blocks import Block

from components import status
from components.known import what_is_known
from components.markup import cell, row, table
from components.panel import QUEUED, UNQUEUED, Updates
from liar.edits import SiteEdit, merge, spans
from liar.errors import LiarError
from liar.explore.allocation import check_edits
from liar.explore.atlas import SiteAtlas
from liar.report.plots import site_correlations, site_errors, site_scores, site_spectrum, site_units
from liar.report.site_sentences import error_words, errors_of, formula, place, reconstructions_of
from liar.report.view import View
from liar.results import SiteReport
from liar.sites import Site
from liar.spec import MAX_RATIO, PruneSpec

if TYPE_CHECKING:
    from components.studio import Bus, Studio

_EMPTY = "Click a cell of the heatmap, or choose a row of the table, to look into a site."
_NO_CURVES = "Nothing is calibrated for this recipe, so the curves, scores and channels of the site are not known."


@dataclass(frozen=True)
class Filled:
    """What the fields were filled from: the site and its ``edits``, and the ``share`` of it that the recipe removes."""

    edits: tuple[str, ...] = ()
    share: float = 0.0


class Inspector:
    """The selected site: its formula, its errors, five figures, and a form for edits by hand."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        self.edits = gr.State([])
        self.filled = gr.State(Filled())
        self.hint = gr.HTML(f"<p>{_EMPTY}</p>", elem_id="site-hint")
        with gr.Column(visible=False, elem_id="site") as self.body:
            self.words = gr.HTML("", elem_id="site-words")
            with gr.Row():
                self.errors = _plot("site-errors")
                self.scores = _plot("site-scores")
            with gr.Row():
                self.units = _plot("site-units")
                self.spectrum = _plot("site-spectrum")
                self.correlations = _plot("site-correlations")
            with gr.Accordion(
                "Decide by hand", open=False, elem_id="site-edits", elem_classes=["full-only"]
            ) as self.by_hand:
                with gr.Row():
                    self.own_ratio = gr.Checkbox(
                        label="A ratio of its own",
                        info="Else the allocation decides.",
                        container=False,
                        min_width=180,
                    )
                    self.ratio = gr.Slider(
                        0, MAX_RATIO, step=0.01, label="Ratio of this site", info="Share to remove.", min_width=240
                    )
                with gr.Row():
                    self.keep = gr.Textbox(
                        label="Units to keep", info="Counted from 0, such as 0-31,77.", max_lines=3, min_width=200
                    )
                    self.remove = gr.Textbox(
                        label="Units to remove", info="They go before all others.", max_lines=3, min_width=200
                    )
                with gr.Row():
                    self.apply = gr.Button("Apply to the recipe", variant="primary", min_width=160)
                    self.keep_whole = gr.Button("Keep the whole site", min_width=160)
                    self.undo = gr.Button("Undo edits of this site", min_width=160)
                self.message = gr.HTML("", elem_id="site-edits-said")

    @property
    def outputs(self) -> list[Block]:
        return [self.hint, self.body, self.words, *self._figures]

    @property
    def _figures(self) -> list[gr.Plot]:
        return [self.errors, self.scores, self.units, self.spectrum, self.correlations]

    @property
    def _fields(self) -> list[Block]:
        return [self.own_ratio, self.ratio, self.keep, self.remove]

    def wire(self) -> None:
        where: list[Block] = [self.bus.spec, self.bus.view]
        gr.on(
            [self.bus.view.change, self.bus.spec.change],
            self.follow,
            [*where, self.filled, self.own_ratio],
            [*self._fields, self.filled, self.message],
            **{**QUEUED, "concurrency_limit": 1},  # one after the other, so that each reads what the last has filled
        )
        self.ratio.input(None, None, self.own_ratio, js="() => true", **UNQUEUED)
        decided: list[Block] = [self.edits, *self._fields, self.filled, self.message]
        self.apply.click(self.decide, [*where, *self._fields], decided, **QUEUED)
        self.keep_whole.click(self.keep_all, where, decided, **QUEUED)
        self.undo.click(self.clear_edits, where, decided, **QUEUED)

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
        if chart is None or predicted is None:
            site = Site(report.layer, report.kind, report.units)
            hidden: Updates = dict.fromkeys(self._figures, gr.update(visible=False))
            return {**hidden, self.units: gr.update(value=site_units(site, report.kept_units), visible=True)}
        figures = {
            self.errors: site_errors(
                chart, spec.criterion, predicted, spec.reconstruction, view.weighting, view.scale, measured
            ),
            self.scores: site_scores(chart, spec.criterion, report.kept_units),
            self.units: site_units(chart.site, report.kept_units),
            self.spectrum: site_spectrum(chart),
            self.correlations: site_correlations(chart, report.kept_units),
        }
        return {plot: gr.update(value=figure, visible=True) for plot, figure in figures.items()}

    # -- edits by hand ------------------------------------------------------------------------------------------

    def follow(self, spec: PruneSpec, view: View, filled: Filled, own_ratio: bool) -> Updates:
        """Refill the fields if the site or its edits have changed, and the ratio if what the recipe removes has.

        Everything else stays, since the visitor may be typing.
        """
        if filled.edits != _edits_of(spec, view.site):
            return self.fill(spec, view.site)
        share = self._share_lost(spec, view.site)
        if own_ratio or filled.share == share:
            return {self.message: gr.skip()}
        return {self.ratio: share, self.filled: Filled(filled.edits, share)}

    def fill(self, spec: PruneSpec, site: str) -> Updates:
        """Fill the fields from the recipe's edits."""
        try:
            edit = merge(spec.edits).get(site, SiteEdit())
        except LiarError as error:  # a link may keep and remove the same unit
            return {self.message: status.problem(str(error))}
        share = self._share_lost(spec, site)
        return {
            self.own_ratio: edit.ratio is not None,
            self.ratio: share if edit.ratio is None else edit.ratio,
            self.keep: spans(edit.keep),
            self.remove: spans(edit.remove),
            self.filled: Filled(_edits_of(spec, site), share),
            self.message: "",
        }

    def _share_lost(self, spec: PruneSpec, site: str) -> float:
        """Share that the recipe removes from this site; it may differ from the ratio of the whole recipe."""
        report = next((found for found in what_is_known(self.studio, spec).sites if found.name == site), None)
        lost = spec.ratio if report is None else 1 - report.kept / report.units
        return min(round(lost, 2), MAX_RATIO)

    def decide(
        self, spec: PruneSpec, view: View, own_ratio: bool, ratio: float, keep: str | None, remove: str | None
    ) -> Updates:
        """Turn the fields into the edits of the selected site."""
        site = view.site
        chosen: list[str] = []
        if own_ratio:
            chosen.append(f"{site}:ratio={ratio:g}")
        chosen += [f"{site}:keep={keep.strip()}"] if keep and keep.strip() else []
        chosen += [f"{site}:remove={remove.strip()}"] if remove and remove.strip() else []
        return self._write(spec, site, chosen)

    def keep_all(self, spec: PruneSpec, view: View) -> Updates:
        return self._write(spec, view.site, [f"{view.site}:ratio=0"])

    def clear_edits(self, spec: PruneSpec, view: View) -> Updates:
        return self._write(spec, view.site, [])

    def _write(self, spec: PruneSpec, site: str, chosen: list[str]) -> Updates:
        """Replace the site's edits by ``chosen``, or show one sentence about why that is not possible."""
        others = [edit for edit in spec.edits if edit not in _edits_of(spec, site)]
        try:
            changed = PruneSpec.create(**{**spec.model_dump(), "edits": [*others, *chosen]})
            merged = merge(changed.edits)
            atlas = self.studio.atlases.find(spec)
            chart = atlas.site(site) if atlas else None
            if chart and site in merged:
                check_edits({site: merged[site]}, [chart.site])
        except LiarError as error:
            return {self.message: status.problem(str(error))}
        words = f"The recipe now has: {'; '.join(chosen)}." if chosen else "The recipe decides about this site again."
        return {**self.fill(changed, site), self.edits: list(changed.edits), self.message: status.note(words)}


def _edits_of(spec: PruneSpec, site: str) -> tuple[str, ...]:
    """The site and its edits; the fields are refilled when these change."""
    return (site, *(edit for edit in spec.edits if edit.startswith(f"{site}:")))


def _plot(name: str) -> gr.Plot:
    return gr.Plot(show_label=False, container=False, elem_id=name, min_width=290)


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
    lines = formula(chart, kept, spec.reconstruction).splitlines() if chart else []
    return (
        f"<h3>{escape(name[:1].upper() + name[1:])}</h3>"
        f"<p>{report.kept:,} of {report.units:,} {unit} kept, scored by {spec.criterion}.</p>"
        + (f'<pre role="region" aria-label="Formula" tabindex="0">{escape(chr(10).join(lines))}</pre>' if lines else "")
        + _predicted_and_measured(view, predicted, measured, spec)
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
