"""The map of each stage: title, explanation, picture, the sentence above it, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from components.shared.lookup import Pruned
from components.shared.markup import Markup, cell, element, row, table
from liar.choices import Reconstruction
from liar.explore.forecast import Forecast
from liar.report.plots.heatmap import error_heatmap, layer_runs
from liar.report.view import View
from liar.report.words.findings import named, what_went
from liar.report.words.site_sentences import compares, error_words, errors_of, reconstructions_of, stands_out
from liar.results import RunResult, SiteReport, TriedRun, removed_layers
from liar.spec import PruneSpec, StageName

Mapped = RunResult | Forecast | Pruned


class SiteMap:
    """Map of width pruning. ``twin`` is the title of the table; the heatmap's controls are hidden unless ``has_controls``."""

    title = "Error by layer and site"
    twin = "All sites in a table"
    has_controls = True

    def explained(self, spec: PruneSpec | None) -> str:
        """HTML of what the picture shows."""
        corrected = spec is not None and spec.walked == "corrective"
        return (
            "How far each site's output is from the dense model's, as a share of its energy. The mask is the same for every "
            "reconstruction; only the repair differs."
            + (" What a corrective repair adds for the sites before it is not counted." if corrected else "")
        )

    def picture(self, outcome: Mapped, view: View, about: Mapping[str, str]) -> go.Figure:
        """The figure; ``about`` is stored as ``layout.meta``."""
        return error_heatmap(outcome.sites, view, about=about)

    def sentence(self, sites: Sequence[SiteReport], view: View, spec: PruneSpec) -> str:
        """What is most worth seeing, as text."""
        if view.difference:
            return compares(sites, view.weighting, *view.difference)
        return stands_out(sites, view.weighting, spec.reconstruction if view.show == "all" else view.strips[0])

    def table(self, outcome: Mapped, view: View) -> str:
        """HTML for keyboards, screen readers and copying."""
        error = "Error" if view.weighting == "plain" else "Norm-aware error"
        names = reconstructions_of(outcome.sites)
        return table(
            ("Site", "Units kept", *names),
            (_row(site, view, names) for site in outcome.sites),
            label="Error of every site",
            caption=f"{error} of every site, share of the output's energy",
        )


class LayerMap:
    """Map of depth pruning: every run of layers that was tried."""

    title = "Error of every run of layers"
    twin = "All runs of layers in a table"
    has_controls = False

    def explained(self, spec: PruneSpec | None) -> str:
        return (
            "Each cell is a run of layers that may go: its first one, and how many. The layer before it gets a patch, the "
            "affine map that does best what they did; the colour is the error that is left of the residual stream behind "
            "them, each token weighted by one over its squared norm. Of the longest runs with an error near the least the one "
            "goes (outlined) that moves the output least, on text that no patch has read."
        )

    def picture(self, outcome: Mapped, view: View, about: Mapping[str, str]) -> go.Figure:
        return layer_runs(_tried(outcome), removed_layers(outcome.sites), about=about)

    def sentence(self, sites: Sequence[SiteReport], view: View, spec: PruneSpec) -> str:
        return what_went(sites, spec.reconstruction)

    def table(self, outcome: Mapped, view: View) -> str:
        """The longest runs first, of equally long ones those that were compared by the output, then by their error."""
        ranked = sorted(_tried(outcome), key=_rank)
        return table(
            ("Layers", "Norm-aware error with the patch", "Output moves, in nats"),
            (row(named(range(run.first, run.first + run.layers)), *map(cell, _figures(run))) for run in ranked),
            label="Error of every run of layers",
            caption="Error of the residual stream behind every run of layers, on a sample of the calibration text",
        )


MAPS: Mapping[StageName, SiteMap | LayerMap] = {"depth": LayerMap(), "width": SiteMap()}


def map_of(spec: PruneSpec | None) -> SiteMap | LayerMap:
    """The map of the last stage of ``spec``; without a recipe, that of the sites."""
    return MAPS[spec.stages[-1] if spec else "width"]


def _rank(run: TriedRun) -> tuple[int, bool, float]:
    return -run.layers, run.divergence is None, run.divergence or run.norm_aware_error


def _figures(run: TriedRun) -> tuple[str, str]:
    return error_words(run.norm_aware_error), "" if run.divergence is None else f"{run.divergence:.3f}"


def _tried(outcome: Mapped) -> Sequence[TriedRun]:
    """Runs of layers that were tried; none before a run has ended."""
    return outcome.tried if isinstance(outcome, RunResult) else ()


def _row(site: SiteReport, view: View, names: Sequence[Reconstruction]) -> Markup:
    errors, pressed = errors_of(site, view.weighting), "true" if site.name == view.site else "false"
    button = element("button", site.name, type="button", data_site=site.name, aria_pressed=pressed)
    missing = error_words(None) if site.kept else "gone"
    known = (error_words(errors[name]) if name in errors else missing for name in names)
    words = (f"{site.kept:,} of {site.units:,}", *known)
    return row(button, *map(cell, words))
