"""Metrics at a ratio between those of measured runs: interpolated, so neither measured nor forecast.

>>> from liar.report.between import between_words, of_other_ratios
>>> from liar.store import RunStore
>>> spec = RunStore().shipped_of("demo/minilm-topic").spec.model_copy(update={"ratio": 0.55})
>>> between_words(spec, of_other_ratios(spec, RunStore().summaries())).partition(":")[0]
'between the runs at 50 % and 60 %'
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log

from liar.results import Evaluation, Variant
from liar.spec import PruneSpec
from liar.store import RunSummary
from liar.tasks.metrics import METRICS, Metric


@dataclass(frozen=True, slots=True)
class Interpolated:
    """Value of a task's main metric on the line between two measured ones."""

    task: str
    metric: Metric
    value: float


def of_other_ratios(spec: PruneSpec, runs: Iterable[RunSummary]) -> dict[float, RunSummary]:
    """Runs that differ from ``spec`` in nothing but the ratio, by their ratio, lowest first."""
    of_model = (run for run in runs if run.spec.model == spec.model)
    found = {run.spec.ratio: run for run in of_model if run.spec == spec.model_copy(update={"ratio": run.spec.ratio})}
    return dict(sorted(found.items()))


def interpolated(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> list[Interpolated]:
    """The repaired model's metrics at the ratio of ``spec``, between two of ``runs``; empty above the highest ratio.

    Linear in the ratio, a perplexity by its logarithm. The dense model stands at ratio 0.
    """
    ends = _ends(spec, runs)
    if ends is None:
        return []
    lower, upper = ends
    found: list[Interpolated] = []
    for task in spec.evaluate:
        high = _measured(runs[upper], task, "reconstructed")
        low = _measured(runs[lower], task, "reconstructed") if lower else _measured(runs[upper], task, "dense")
        if low is None or high is None:
            continue
        metric, weight = METRICS[high.metric], (spec.ratio - lower) / (upper - lower)
        if metric.by_ratio:
            value = exp((1 - weight) * log(low.value) + weight * log(high.value))
        else:
            value = (1 - weight) * low.value + weight * high.value
        found.append(Interpolated(task, metric, value))
    return found


def between_words(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> str:
    """``between the runs at 30 % and 40 %: perplexity about 21.3``; empty if nothing can be interpolated."""
    found, ends = interpolated(spec, runs), _ends(spec, runs)
    if not found or ends is None:
        return ""
    figures = "; ".join(f"{each.metric.title_of(each.task)} about {each.metric.words(each.value)}" for each in found)
    lower, upper = (f"{100 * ratio:.0f} %" for ratio in ends)
    where = f"the runs at {lower} and {upper}" if ends[0] else f"the dense model and the run at {upper}"
    return f"between {where}: {figures}"


def _ends(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> tuple[float, float] | None:
    """Nearest measured ratios below and above that of ``spec``; 0 is the dense model."""
    ratios = sorted({0.0, *runs})
    place = bisect(ratios, spec.ratio)
    return (ratios[place - 1], ratios[place]) if 0 < place < len(ratios) else None


def _measured(run: RunSummary, task: str, variant: Variant) -> Evaluation | None:
    return next((item for item in run.evaluations if (item.task, item.variant) == (task, variant)), None)
