"""Map of what a run removed: errors of the sites, or of the runs of layers that were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from liar.report.plots.heatmap import error_heatmap
from liar.report.plots.layer_runs import layer_runs
from liar.report.view import HeatmapView
from liar.report.words.layer_sentences import removed_layers
from liar.report.words.sentences import SiteOutcome
from liar.results import RunResult, TriedRun


def stage_map(
    outcome: SiteOutcome,
    view: HeatmapView | None = None,
    *,
    selected: str = "",
    about: Mapping[str, str] | None = None,
) -> go.Figure:
    """The map of the last stage of ``outcome``; ``view`` and ``selected`` (a site) are those of the sites' heatmap.

    ``about`` is stored as ``layout.meta``. The map of layers is empty until the run has ended.
    """
    if outcome.spec.stages[-1] == "depth":
        return layer_runs(tried(outcome), removed_layers(outcome.sites), about=about)
    return error_heatmap(outcome.sites, view or HeatmapView(), selected=selected, about=about)


def tried(outcome: SiteOutcome) -> Sequence[TriedRun]:
    """Runs of layers that were tried; none before a run has ended."""
    return outcome.tried if isinstance(outcome, RunResult) else ()
