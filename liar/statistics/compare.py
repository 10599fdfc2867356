"""Comparison of two runs: settings that differ, and the differences of their metrics and sites.

>>> from liar.statistics.compare import differing_settings
>>> from liar.store import RunStore
>>> a, b = (RunStore().shipped_of(model) for model in ("demo/minilm-sentiment", "demo/minilm-topic"))
>>> differing_settings(a, b)[0]
('model', 'demo/minilm-sentiment', 'demo/minilm-topic')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import hypot

from liar.results import MEASURED, Evaluation, MeasuredVariant, RunResult, SiteReport
from liar.spec import PruneSpec
from liar.statistics.paired import bits, stderr_of_sum
from liar.tasks.metrics import METRICS, MetricName

_ENVIRONMENT = ("device", "dtype")
"""Parts of the environment to compare: the values chosen for ``auto``. The others hardly change a figure."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of one metric between two models: ``change`` is the second value minus the first one.

    ``stderr`` is the standard error of the change. If both were measured on the same items it is ``paired``: computed
    from the differences item by item. It is None if an evaluation lacks its single answers, since the items may then
    differ. ``ratio`` is the second perplexity over the first one, with the ``ratio_stderr`` of the same pairs.
    """

    change: float
    stderr: float | None
    paired: bool = False
    ratio: float | None = None
    ratio_stderr: float | None = None


def difference(a: Evaluation, b: Evaluation) -> Difference:
    """Subtract ``a`` from ``b``, two evaluations of one metric.

    The paired standard error is that of :func:`liar.statistics.paired.stderr_of_sum`; for the ratio P_b / P_a of two
    perplexities it is that of the mean of nll_b - nll_a, times the ratio.
    """
    change = b.value - a.value
    if a.items is None or b.items is None:
        return Difference(change, None)
    if a.items.digest != b.items.digest:
        return Difference(change, hypot(a.stderr, b.stderr))
    stderr = stderr_of_sum(a.metric, [(-slope(a), a.items), (slope(b), b.items)], a.n)
    if not METRICS[a.metric].by_ratio:
        return Difference(change, stderr, stderr is not None)
    ratio = b.value / a.value
    spread = stderr_of_sum(a.metric, [(-ratio, a.items), (ratio, b.items)], a.n)
    return Difference(change, stderr, stderr is not None, ratio, spread)


def slope(evaluation: Evaluation) -> float:
    """Derivative of a metric by the mean of its scores: the perplexity itself, which is exp of a mean; else one."""
    return evaluation.value if METRICS[evaluation.metric].by_ratio else 1.0


def by_task(evaluations: Sequence[Evaluation]) -> dict[str, dict[MeasuredVariant, Evaluation]]:
    """Evaluations by task, the first measured one first, and by variant in the order of :data:`liar.results.MEASURED`."""
    found: dict[str, dict[MeasuredVariant, Evaluation]] = {item.task: {} for item in evaluations}
    for item in sorted(evaluations, key=lambda item: MEASURED.index(item.variant)):
        found[item.task][item.variant] = item
    return found


def by_metric(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, ...]]:
    """The figures of all variants for each metric of each task, its main one first: the rows of a table."""
    tasks = (zip(*(item.figures for item in items.values()), strict=True) for items in by_task(evaluations).values())
    return list(chain.from_iterable(tasks))


def in_metric(evaluation: Evaluation, metric: MetricName) -> Evaluation | None:
    """An evaluation seen by one of its metrics; None if it was not measured by that."""
    return next((figure for figure in evaluation.figures if figure.metric == metric), None)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Share of the damage of pruning that the repair recovered (1 is all of it), and its paired standard error."""

    share: float
    stderr: float | None


def recovery_of(dense: Evaluation, pruned: Evaluation, reconstructed: Evaluation) -> Recovery | None:
    """R = (pruned - reconstructed) / (pruned - dense); None if both models are equally good.

    Standard error by the delta method: that of ((1 - R) pruned - reconstructed + R dense) / (pruned - dense), item by item.
    """
    damage = pruned.value - dense.value
    if damage == 0:
        return None
    share = (pruned.value - reconstructed.value) / damage
    parts = [((1 - share) / damage, pruned), (-1 / damage, reconstructed), (share / damage, dense)]
    if len({item.items.digest if item.items else None for _, item in parts}) > 1 or dense.items is None:
        return Recovery(share, None)
    terms = [(factor * slope(item), item.items) for factor, item in parts if item.items is not None]
    return Recovery(share, stderr_of_sum(dense.metric, terms, dense.n))


def is_chance(a: Evaluation, b: Evaluation) -> bool:
    """Whether the metrics differ by no more than one standard error of their difference.

    If it is not known, the one of two independent samples is used, which is larger if the models agree on most items.
    """
    found = difference(a, b)
    return abs(found.change) <= (hypot(a.stderr, b.stderr) if found.stderr is None else found.stderr)


def right_answers(evaluation: Evaluation) -> list[bool] | None:
    """Whether the answer to each text was right; None if the single answers are not known."""
    if evaluation.items is None or evaluation.items.right is None:
        return None
    return bits(evaluation.items.right, evaluation.n)


def differing(specs: Sequence[PruneSpec]) -> list[str]:
    """Names of the choices that are not the same in all ``specs``, in the order of the schema."""
    return [name for name in PruneSpec.model_fields if len({getattr(spec, name) for spec in specs}) > 1]


def differing_settings(a: RunResult, b: RunResult) -> list[tuple[str, str, str]]:
    """Names of the settings that differ between two runs, each with its value in both, in words."""
    names = differing([a.spec, b.spec])
    chosen = [
        (name.replace("_", " "), _setting_words(getattr(a.spec, name)), _setting_words(getattr(b.spec, name)))
        for name in names
    ]
    environment = [
        (name, a.environment.get(name, "unknown"), b.environment.get(name, "unknown"))
        for name in _ENVIRONMENT
        if name not in names and a.environment.get(name) != b.environment.get(name)
    ]
    return chosen + environment


def _setting_words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "default" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def common_metrics(a: RunResult, b: RunResult) -> list[tuple[Evaluation, Evaluation]]:
    """The metrics that both runs have, each of one variant in both."""
    at = by_task(b.evaluations)
    return [
        (figure, same)
        for task, items in sorted(by_task(a.evaluations).items())
        for variant, item in items.items()
        if (other := at.get(task, {}).get(variant)) is not None
        for figure in item.figures
        if (same := in_metric(other, figure.metric)) is not None
    ]


def common_sites(a: RunResult, b: RunResult) -> list[tuple[SiteReport, SiteReport]]:
    """The sites that both runs pruned and know the error of; none if the models differ in shape.

    Errors are shares of the output's energy on the run's own moments, which are of pruned inputs unless the run is one-shot.
    """
    if a.model.model_copy(update={"id": b.model.id}) != b.model:
        return []
    at = {site.name: site for site in b.sites}
    return [(site, at[site.name]) for site in a.sites if site.error and site.name in at and at[site.name].error]
