"""Two runs side by side: what was chosen differently, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot

from liar.results import MEASURED, Evaluation, RunResult, SiteReport
from liar.spec import PruneSpec, SiteKind

_SURROUNDINGS = ("device", "dtype")
"""What ``auto`` came to; other parts of the environment move no figure that a reader would notice."""


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A choice, and what either run took."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One metric of one variant in both runs."""

    a: Evaluation
    b: Evaluation

    @property
    def change(self) -> float:
        """The second run's value less the first one's."""
        return self.b.value - self.a.value

    @property
    def stderr(self) -> float:
        """Standard error of the change if both were measured on texts of their own; on the same ones it is smaller."""
        return hypot(self.a.stderr, self.b.stderr)


@dataclass(frozen=True, slots=True)
class SiteDifference:
    """A site that both runs pruned, with the error of what each of them installed.

    Each is a share of the output's energy on the run's own moments, so a sequential run's is one on pruned inputs.
    """

    name: str
    layer: int
    kind: SiteKind
    units: int
    kept_a: int
    kept_b: int
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class RunComparison:
    """``a`` and ``b``, and everything of interest that is not the same in both."""

    a: RunResult
    b: RunResult
    settings: list[SettingDifference]
    metrics: list[MetricDifference]
    sites: list[SiteDifference]


def compare(a: RunResult, b: RunResult) -> RunComparison:
    """Settings that differ, metrics that both measured, and sites that both pruned, if the models are of one shape."""
    return RunComparison(a, b, _settings(a, b), list(_metrics(a, b)), list(_sites(a, b)))


def differing(specs: Sequence[PruneSpec]) -> list[str]:
    """Names of the choices that are not the same in all ``specs``, in the order of the schema."""
    return [name for name in PruneSpec.model_fields if len({getattr(spec, name) for spec in specs}) > 1]


def _settings(a: RunResult, b: RunResult) -> list[SettingDifference]:
    chosen = [
        SettingDifference(name.replace("_", " "), _said(getattr(a.spec, name)), _said(getattr(b.spec, name)))
        for name in differing([a.spec, b.spec])
    ]
    named = {difference.name for difference in chosen}
    around = [
        SettingDifference(name, a.environment.get(name, "unknown"), b.environment.get(name, "unknown"))
        for name in _SURROUNDINGS
        if name not in named and a.environment.get(name) != b.environment.get(name)
    ]
    return chosen + around


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "default" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _metrics(a: RunResult, b: RunResult) -> Iterable[MetricDifference]:
    at = {(item.task, item.variant): item for item in b.evaluations}
    for item in sorted(a.evaluations, key=lambda item: (item.task, MEASURED.index(item.variant))):
        if other := at.get((item.task, item.variant)):
            yield MetricDifference(item, other)


def _sites(a: RunResult, b: RunResult) -> Iterable[SiteDifference]:
    if a.model.model_copy(update={"id": b.model.id}) != b.model:
        return
    at = {site.name: site for site in b.sites}
    for site in a.sites:
        if other := at.get(site.name):
            yield SiteDifference(
                name=site.name,
                layer=site.layer,
                kind=site.kind,
                units=site.units,
                kept_a=site.kept,
                kept_b=other.kept,
                a=_installed(site, a.spec),
                b=_installed(other, b.spec),
            )


def _installed(site: SiteReport, spec: PruneSpec) -> float:
    return site.error[spec.reconstruction]
