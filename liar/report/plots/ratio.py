"""The metric of many runs over the ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from liar.report.plots.frame import FONT, VARIANT_COLOURS, empty
from liar.report.plots.recipe_lines import (
    Line,
    Run,
    evaluation_of,
    laid_out,
    lines_of,
    marks,
    measured_words,
    metric_axis,
    metric_of,
    run_words,
)
from liar.report.words.metric_sentences import value_words
from liar.report.words.sentences import count
from liar.results import Variant


def ratio_figure(runs: Sequence[Run], task: str, *, selected: str = "") -> go.Figure:
    """``task`` of the reconstructed model over the ratio: a line for each recipe, whiskers of one standard error.

    The dense model is a horizontal line; a single recipe also has a line of the pruned model without repair.
    ``customdata`` of a point is its run's key; the run with the key ``selected`` has a ring.
    """
    lines = lines_of(runs, task)
    if not lines:
        return empty("No run has measured this yet.")
    figure = go.Figure()
    dense = evaluation_of(lines[0].runs[0], task, "dense")
    if dense is not None:
        figure.add_trace(
            go.Scatter(
                x=[0, max(run.spec.ratio for line in lines for run in line.runs)],
                y=[dense.value, dense.value],
                mode="lines",
                line={"color": VARIANT_COLOURS["dense"], "width": 2},
                name=f"dense {value_words(dense)}",
                hovertemplate=f"dense: {measured_words(dense)}<extra></extra>",
            )
        )
    if len(lines) == 1:
        unrepaired = replace(lines[0], name="not repaired", colour=VARIANT_COLOURS["pruned"], dash="dot", symbol="x")
        figure.add_trace(_over_ratio(unrepaired, task, "pruned", ""))
    for line in lines:
        figure.add_trace(_over_ratio(line, task, "reconstructed", selected))
    figure.update_xaxes(
        title={"text": "share of the targeted units removed", "font": FONT, "standoff": 6}, tickformat=".0%"
    )
    metric_axis(figure, task, metric_of(runs, task))
    return laid_out(figure)


def _over_ratio(line: Line, task: str, variant: Variant, selected: str) -> go.Scatter:
    found = [(run, item) for run in line.runs if (item := evaluation_of(run, task, variant))]
    return marks(
        line,
        [run for run, _ in found],
        [run.spec.ratio for run, _ in found],
        [item for _, item in found],
        [
            f"{run_words(line, run, item)}<br>{count(run.totals.parameters_after)} parameters left"
            for run, item in found
        ],
        selected,
    )
