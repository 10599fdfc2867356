"""Plotly figures of results and forecasts, for the page and for reports. Pure: no file is written here."""

from liar.report.plots.comparison import comparison_heatmap
from liar.report.plots.heatmap import error_heatmap
from liar.report.plots.layer_runs import layer_runs
from liar.report.plots.masks import mask_heatmap
from liar.report.plots.metric_bars import metric_bars
from liar.report.plots.pareto import pareto_figure
from liar.report.plots.ratio import ratio_figure
from liar.report.plots.site_channels import site_correlations, site_spectrum
from liar.report.plots.site_errors import site_errors
from liar.report.plots.site_units import site_scores, site_units

__all__ = [
    "comparison_heatmap",
    "error_heatmap",
    "layer_runs",
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
