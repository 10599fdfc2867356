"""Map of a run's errors in SVG: a cell for each site and repair, or for each run of layers that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

from plotly.colors import sample_colorscale

from liar.report.words.layer_sentences import removed_layers
from liar.report.words.site_sentences import reconstructions_of
from liar.results import RunResult

_LEFT, _WIDTH, _HIGH = 84, 916, 22


@dataclass(frozen=True, slots=True)
class Picture:
    """Texts as (x, y, words), and cells as (x, y, width, height, colour, whether it is outlined); 1,000 wide."""

    height: int
    titles: list[tuple[float, int, str]]
    cells: list[tuple[float, int, float, int, str, bool]]


def picture_of(result: RunResult) -> Picture:
    """The map of what the last stage of a run did."""
    return _of_layers(result) if result.spec.stages[-1] == "depth" else _of_sites(result)


def _of_sites(result: RunResult) -> Picture:
    names, kinds = reconstructions_of(result.sites), sorted({site.kind for site in result.sites})
    width = _WIDTH / (1 + max(site.layer for site in result.sites))
    strip = _HIGH * len(kinds) + 30
    cells = [
        (
            _LEFT + site.layer * width,
            row * strip + 24 + kinds.index(site.kind) * _HIGH,
            width - 1,
            _HIGH - 1,
            _colour(site.error[name]),
            False,
        )
        for row, name in enumerate(names)
        for site in result.sites
        if name in site.error
    ]
    titles = [(float(_LEFT), row * strip + 16, str(name)) for row, name in enumerate(names)]
    return Picture(strip * len(names) + 18, titles, cells)


def _of_layers(result: RunResult) -> Picture:
    gone, longest = removed_layers(result.sites), max((run.layers for run in result.tried), default=0)
    width = _WIDTH / max((run.first for run in result.tried), default=1)
    cells = [
        (
            _LEFT + (run.first - 1) * width,
            24 + (run.layers - 1) * _HIGH,
            width - 1,
            _HIGH - 1,
            _colour(run.norm_aware_error),
            [*range(run.first, run.first + run.layers)] == gone,
        )
        for run in result.tried
    ]
    titles = [(0.0, 24 + (count - 1) * _HIGH + 16, f"{count} gone") for count in range(1, longest + 1)]
    first = [(float(_LEFT), 16, "from layer 1 on, from layer 2 on, and so on")] if cells else []
    return Picture(_HIGH * longest + 42, [*first, *titles], cells)


def _colour(error: float) -> str:
    """Colour of the heatmap: logarithmic from 0.001 to 1."""
    place = min(1.0, max(0.0, 1 + log10(max(error, 1e-9)) / 3))
    return str(sample_colorscale("Viridis", [place])[0])
