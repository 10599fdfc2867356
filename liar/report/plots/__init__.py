"""Plotly figures of results and forecasts, for the page and for reports. Pure: no file is written here."""

from liar.report.plots.comparison import comparison_heatmap
from liar.report.plots.heatmap import error_heatmap
from liar.report.plots.masks import mask_heatmap
from liar.report.plots.metrics import metric_bars
from liar.report.plots.site import site_correlations, site_errors, site_scores, site_spectrum, site_units
from liar.report.plots.tradeoff import pareto_figure, ratio_figure

__all__ = [
    "comparison_heatmap",
    "error_heatmap",
    "mask_heatmap",
    "metric_bars",
    "pareto_figure",
    "ratio_figure",
    "site_correlations",
    "site_errors",
    "site_scores",
    "site_spectrum",
    "site_units",
]
