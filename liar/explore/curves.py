"""Results of ``liar curves``, as versioned JSON: the error of each site at every ratio."""

from __future__ import annotations

from pydantic import Field

from liar.results import SCHEMA_VERSION, ModelInfo, Record
from liar.spec import Criterion, Reconstruction, SiteKind

RATIOS = tuple(percent / 100 for percent in range(101))
"""Ratios at which curves are stored: shares of a site's units removed."""


class SiteCurves(Record):
    """Error of one site over the ratio, for each reconstruction: entry i is for ``kept[i]`` units.

    The curves of scale, least-squares (and of liar inside the row space) bound the true error from above, by about a percent.
    """

    name: str
    layer: int
    kind: SiteKind
    units: int
    criterion: Criterion
    kept: list[int]
    error: dict[Reconstruction, list[float]]
    seconds: dict[str, float] = Field(default_factory=dict)


class CurvesResult(Record):
    """Content of ``liar curves --json``; ``ratios`` are shares of a site's units removed."""

    schema_version: int = SCHEMA_VERSION
    model: ModelInfo
    ratios: list[float]
    sites: list[SiteCurves]
    timings: dict[str, float] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
