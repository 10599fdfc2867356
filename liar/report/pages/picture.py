"""Map of a run's errors in SVG: a cell for each site and repair, or for each run of layers that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

from plotly.colors import sample_colorscale

from liar.report.words.findings import removed_layers
from liar.report.words.site_sentences import reconstructions_of
from liar.results import RunResult

_LEFT, _WIDTH, _HIGH = 84, 916, 22

Cell = tuple[float, int, float, int, str, bool]
"""x, y, width, height, colour, and whether it is outlined."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Texts as (x, y, words), and cells; 1,000 wide."""

    height: int
    titles: list[tuple[float, int, str]]
    cells: list[Cell]


def picture_of(result: RunResult) -> Picture:
    """The map of what the last stage of a run did."""
    return _of_layers(result) if result.spec.stages[-1] == "depth" else _of_sites(result)


def _of_sites(result: RunResult) -> Picture:
    names, kinds = reconstructions_of(result.sites), sorted({site.kind for site in result.sites})
    width = _WIDTH / (1 + max(site.layer for site in result.sites))
    strip = _HIGH * len(kinds) + 30
    cells = [
        _cell(site.layer * width, row * strip + kinds.index(site.kind) * _HIGH, width, site.error[name])
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
        _cell(
            (run.first - 1) * width,
            (run.layers - 1) * _HIGH,
            width,
            run.norm_aware_error,
            [*range(run.first, run.first + run.layers)] == gone,
        )
        for run in result.tried
    ]
    titles = [(0.0, 24 + (count - 1) * _HIGH + 16, f"{count} gone") for count in range(1, longest + 1)]
    first = [(float(_LEFT), 16, "from layer 1 on, from layer 2 on, and so on")] if cells else []
    return Picture(_HIGH * longest + 42, [*first, *titles], cells)


def _cell(x: float, y: int, width: float, error: float, outlined: bool = False) -> Cell:
    """A cell of a strip in the colours of the heatmap: logarithmic from 0.001 to 1."""
    place = min(1.0, max(0.0, 1 + log10(max(error, 1e-9)) / 3))
    colour = str(sample_colorscale("Viridis", [place])[0])
    return (_LEFT + x, 24 + y, width - 1, _HIGH - 1, colour, outlined)
