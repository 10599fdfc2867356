"""RunResult -> plotly figures, for the page and for reports. Pure: nothing is drawn, opened or written here."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from liar.results import VARIANTS, RunResult, SiteReport, Variant
from liar.spec import RECONSTRUCTIONS, Reconstruction, SiteKind, Task
from liar.words import measurement, metric_value

# Okabe and Ito's palette: told apart with any colour vision. Grey for what was, vermilion for the damage, blue for the
# repair; the same three wherever the variants stand side by side.
VARIANT_COLOURS: dict[Variant, str] = {"dense": "#7a8190", "pruned": "#d55e00", "reconstructed": "#0072b2"}

SMALLEST_ERROR = 1e-6
"""Stands for no error at all, which a log scale cannot show."""

DECADES = 2.0
"""Length of the colour scale below the largest error. A site that a few massive tokens dominate has an error so small
that it would take the colours from all others; it is drawn in the darkest one."""

_CELL, _GAP = 34, 34
"""Height of a site in the heatmap and the room for a strip's title, in pixels."""

_BAR, _LABELS = 34, 108
"""Height of a bar and the width of the names beside it, in pixels."""

_STANDOFF = {"ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)"}
"""Invisible ticks that keep the names of an axis off the plot."""

_TOP = 48
"""Gradio lays a component's label over the first pixels of a figure."""

_KINDS: dict[SiteKind, str] = {"ffn": "FFN", "attention": "attention"}  # from the bottom of a strip upwards
_FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13}
_TICKS = tuple(digit * 10.0**power for power in range(-6, 7) for digit in (1, 3))


def error_heatmap(sites: Sequence[SiteReport]) -> go.Figure:
    """Layer x site, one strip for each reconstruction, all on one logarithmic colour scale."""
    kinds = [kind for kind in _KINDS if any(site.kind == kind for site in sites)]
    layers = sorted({site.layer for site in sites})
    at = {(site.layer, site.kind): site for site in sites}
    low, high = _error_range(sites)
    strips = len(RECONSTRUCTIONS)
    drawn = strips * _CELL * max(len(kinds), 1) + (strips - 1) * _GAP
    figure = make_subplots(
        rows=strips,
        shared_xaxes=True,
        vertical_spacing=_GAP / drawn,
        subplot_titles=[f"<b>{name}</b>  mean {_mean_error(sites, name):.3g}" for name in RECONSTRUCTIONS],
    )
    for row, name in enumerate(RECONSTRUCTIONS, start=1):
        cells = [[at.get((layer, kind)) for layer in layers] for kind in kinds]
        figure.add_trace(
            go.Heatmap(
                x=layers,
                y=[_KINDS[kind] for kind in kinds],
                z=[[log10(max(cell.error[name], SMALLEST_ERROR)) if cell else None for cell in line] for line in cells],
                customdata=[[_site_words(cell, name) if cell else "" for cell in line] for line in cells],
                hovertemplate="%{customdata}<extra></extra>",
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
                name=name,
            ),
            row=row,
            col=1,
        )
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True, constrain="domain")
    figure.update_xaxes(title={"text": "layer", "standoff": 4, "font": _FONT}, row=strips, col=1)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True, automargin=True, **_STANDOFF)
    ticks = {log10(tick): f"{tick:g}" for tick in _TICKS if low + 0.45 < log10(tick) <= high}
    ticks[low] = f"≤ {10**low:.2g}"
    figure.update_layout(
        coloraxis={
            "colorscale": "Viridis",
            "cmin": low,
            "cmax": high,
            "colorbar": {
                "orientation": "h",  # below, so that a narrow page keeps its width for the layers
                "title": {"text": "error (log scale)", "side": "top", "font": _FONT},
                "tickvals": list(ticks),
                "ticktext": list(ticks.values()),
                "tickangle": 0,
                "thickness": 10,
                "outlinewidth": 0,
                "y": -62 / drawn,
                "yanchor": "top",
                "ypad": 0,
            },
        },
    )
    _flush_left(figure, strips, shift=0)
    return _framed(figure, drawn, bottom=114, left=8, right=8)


def metric_bars(result: RunResult) -> go.Figure:
    """Dense, pruned and reconstructed for every task that was measured, with one standard error to each side."""
    tasks: list[Task] = list(dict.fromkeys(item.task for item in result.evaluations))
    if not tasks:
        return _empty("No metric was measured in this run.")
    titles = [_capital(measurement(result, task)) for task in tasks]
    gap = 3 * _GAP  # a title, and above it the ticks and the title of the last axis
    drawn = len(tasks) * len(VARIANTS) * _BAR + (len(tasks) - 1) * gap
    figure = make_subplots(rows=len(tasks), subplot_titles=titles, vertical_spacing=gap / drawn)
    for row, task in enumerate(tasks, start=1):
        items = sorted(
            (item for item in result.evaluations if item.task == task), key=lambda item: VARIANTS.index(item.variant)
        )
        figure.add_trace(
            go.Bar(
                x=[item.value for item in items],
                y=[item.variant for item in items],
                orientation="h",
                width=0.62,
                marker={"color": [VARIANT_COLOURS[item.variant] for item in items]},
                error_x={"type": "data", "array": [item.stderr for item in items], "thickness": 1.2, "width": 4},
                hovertext=[
                    f"<b>{item.variant}</b><br>{item.metric} {metric_value(item.value, item.metric)} "
                    f"± {metric_value(item.stderr, item.metric)} (one standard error)<br>n = {item.n:,}"
                    for item in items
                ],
                hovertemplate="%{hovertext}<extra></extra>",
                showlegend=False,
            ),
            row=row,
            col=1,
        )
        for item in items:  # bar labels would sit on the error bars: write them past the whisker
            figure.add_annotation(
                x=item.value + item.stderr,
                y=item.variant,
                text=f"<b>{metric_value(item.value, item.metric)}</b>",
                xanchor="left",
                xshift=8,
                showarrow=False,
                row=row,
                col=1,
            )
        reach = max(item.value + item.stderr for item in items)
        percent = items[0].metric == "accuracy"
        figure.update_xaxes(
            range=[0, reach * 1.4],
            tickformat=".0%" if percent else None,
            title={"text": "higher is better" if percent else "lower is better", "font": _FONT, "standoff": 6},
            row=row,
            col=1,
        )
    figure.update_xaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,128,128,.22)", nticks=6)
    figure.update_yaxes(fixedrange=True, autorange="reversed", showgrid=False, **_STANDOFF)
    _flush_left(figure, len(tasks), shift=-_LABELS)
    return _framed(figure, drawn, bottom=52, left=_LABELS, right=4)


def _error_range(sites: Sequence[SiteReport]) -> tuple[float, float]:
    """Ends of the shared colour scale, log10 of errors."""
    errors = [max(value, SMALLEST_ERROR) for site in sites for value in site.error.values()]
    if not errors:
        return -2.0, 0.0
    low, high = log10(min(errors)), log10(max(errors))
    return (max(low, high - DECADES), high) if high - low > 0.1 else (floor(low), floor(low) + 1)


def _mean_error(sites: Sequence[SiteReport], name: Reconstruction) -> float:
    return fmean(site.error[name] for site in sites) if sites else 0.0


def _site_words(site: SiteReport, name: Reconstruction) -> str:
    unit = "neurons" if site.kind == "ffn" else "query heads"
    return (
        f"<b>{site.name}</b>, {name}<br>error {site.error[name]:.4g} of the output's energy"
        f"<br>norm-aware error {site.norm_aware_error[name]:.4g}"
        f"<br>{site.kept:,} of {site.units:,} {unit} kept"
    )


def _flush_left(figure: go.Figure, titles: int, shift: int) -> None:
    """Subplot titles are the first annotations; they read better at the left edge than centred."""
    for annotation in figure.layout.annotations[:titles]:
        annotation.update(x=0, xanchor="left", xshift=shift, font=_FONT)


def _framed(figure: go.Figure, drawn: int, bottom: int, left: int, right: int) -> go.Figure:
    """What all figures share: transparent paper, so that the page's light or dark ground shows through.

    ``drawn`` is the height of the plots themselves in pixels; the margins come on top.
    """
    figure.update_layout(
        height=_TOP + drawn + bottom,
        autosize=True,
        margin={"l": left, "r": right, "t": _TOP, "b": bottom},
        font=_FONT,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left", "bgcolor": "#1e293b", "bordercolor": "#64748b", "font": {"color": "white"}},
        dragmode=False,
    )
    return figure


def _empty(words: str) -> go.Figure:
    figure = go.Figure()
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _framed(figure, drawn=60, bottom=24, left=8, right=8)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
