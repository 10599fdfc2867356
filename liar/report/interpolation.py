"""What measured runs of a recipe say about a ratio that none of them has: interpolated, so neither measured nor forecast.

Metrics are interpolated between two runs. Errors follow the forecast, multiplied by what the runs measured over what the
forecast predicts of them: a forecast is of a one-shot run, and that factor changes slowly with the ratio.

>>> from liar.report.interpolation import between_words, of_other_ratios
>>> from liar.store import RunStore
>>> spec = RunStore().shipped_of("demo/minilm-topic").spec.model_copy(update={"ratio": 0.55})
>>> between_words(spec, of_other_ratios(spec, RunStore().summaries())).partition(":")[0]
'Between the runs at 50 % and 60 %'
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import exp, inf, log

from liar.choices import Reconstruction
from liar.errors import EmptySiteError, InvalidSpecError, LiarError
from liar.explore.atlas import Atlas
from liar.explore.forecast import Forecast, forecast
from liar.explore.need import predicted_loss, ratio_of_loss
from liar.report.words.metric_sentences import evaluation_of, metric_of
from liar.results import RunResult, SiteReport, Variant
from liar.spec import RECONSTRUCTIONS, PruneSpec
from liar.store import RunSummary
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS
from liar.tasks.record import OF_LANGUAGE_MODELS
from liar.tasks.registry import task_named


def of_other_ratios(spec: PruneSpec, runs: Iterable[RunSummary]) -> dict[float, RunSummary]:
    """Runs that differ from ``spec`` in nothing but the ratio, by their ratio, lowest first."""
    of_model = (run for run in runs if run.spec.model == spec.model)
    found = {run.spec.ratio: run for run in of_model if run.spec == spec.model_copy(update={"ratio": run.spec.ratio})}
    return dict(sorted(found.items()))


def interpolated(
    spec: PruneSpec, runs: Mapping[float, RunSummary], variant: Variant = "reconstructed"
) -> dict[str, float]:
    """Main metrics of ``variant`` by task at the ratio of ``spec``, between two of ``runs``; empty above the highest ratio.

    Linear in the ratio, a perplexity by its logarithm. The dense model stands at ratio 0.
    """
    ends = _ends(spec, runs)
    if ends is None:
        return {}
    lower, upper = ends
    found: dict[str, float] = {}
    for task in spec.evaluate:
        high = evaluation_of(runs[upper], task, variant)
        low = evaluation_of(runs[lower], task, variant) if lower else evaluation_of(runs[upper], task, "dense")
        if low is None or high is None:
            continue
        weight = (spec.ratio - lower) / (upper - lower)
        if METRICS[high.metric].by_ratio:
            found[task] = exp((1 - weight) * log(low.value) + weight * log(high.value))
        else:
            found[task] = (1 - weight) * low.value + weight * high.value
    return found


def between_words(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> str:
    """``Between the runs at 30 % and 40 %: perplexity about 21.3``; empty if nothing can be interpolated."""
    found = [(metric_of(runs.values(), task), task, value) for task, value in interpolated(spec, runs).items()]
    figures = "; ".join(f"{metric.title_of(task)} about {metric.words(value)}" for metric, task, value in found)
    return f"Between {ends_in_words(spec, runs)}: {figures}" if found else ""


def ends_in_words(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> str:
    """``the runs at 30 % and 40 %``; empty above the highest ratio."""
    ends = _ends(spec, runs)
    if ends is None:
        return ""
    lower, upper = (f"{100 * ratio:.0f} %" for ratio in ends)
    return f"the runs at {lower} and {upper}" if ends[0] else f"the dense model and the run at {upper}"


def carried(expected: Forecast, runs: Iterable[RunResult], atlas: Atlas) -> Forecast:
    """``expected`` with its errors multiplied by what the ``runs`` measured over what their forecasts by ``atlas`` predict.

    ``runs`` are the nearest of the recipe below and above, see :func:`neighbours`; next to a single one its own factor
    holds, and one without a forecast has none. The factor is one for all sites, of the mean error that the page states: those
    of single sites differ by orders of magnitude, since a run may keep all of a site of which a forecast removes a little.
    """
    marks: list[tuple[RunResult, Forecast]] = []
    for run in runs:
        with suppress(LiarError):
            marks.append((run, forecast(run.spec, atlas)))
    if not marks:
        return expected
    factors = {
        kind: {name: _factor(expected, marks, kind, name) for name in RECONSTRUCTIONS}
        for kind in ("error", "norm_aware_error")
    }

    def multiplied(site: SiteReport) -> dict[str, dict[Reconstruction, float]]:
        return {
            kind: {name: error * factor[name] for name, error in getattr(site, kind).items()}
            for kind, factor in factors.items()
        }

    sites = [site.model_copy(update=multiplied(site)) for site in expected.sites]
    return replace(expected, sites=sites, runs=tuple(run.spec.ratio for run, _ in marks))


def neighbours(ratio: float, runs: Mapping[float, RunSummary]) -> list[RunSummary]:
    """The nearest of ``runs`` below and above ``ratio``, as far as there are any."""
    ratios = sorted(runs)
    place = bisect_left(ratios, ratio)
    return [runs[near] for near in ratios[max(0, place - 1) : place + 1]]


def _factor(expected: Forecast, marks: Sequence[tuple[RunResult, Forecast]], kind: str, name: Reconstruction) -> float:
    """Measured over predicted mean error at the ratio of ``expected``; ``kind`` is the field of a site with its errors.

    Its logarithm is linear in that of the predicted error, so the product grows with the predicted error wherever the measured
    errors grow, and is what each run measured.
    """
    known = {site.name for site in expected.sites if name in getattr(site, kind)}

    def total(sites: Sequence[SiteReport]) -> float:
        return float(sum(getattr(site, kind).get(name, 0.0) for site in sites if site.name in known))

    here = total(expected.sites)
    found = [(total(predicted.sites), total(run.sites)) for run, predicted in marks]
    points = [point for point in found if min(point) > 0]
    if not points or here <= 0:
        return 1.0
    (low, first), (high, last) = points[0], points[-1]
    weight = min(1.0, max(0.0, log(here / low) / log(high / low))) if high > low else 0.0
    return float((first / low) ** (1 - weight) * (last / high) ** weight)


def meet_perplexity(most: float, spec: PruneSpec, atlas: Atlas, runs: Mapping[float, RunSummary]) -> tuple[float, str]:
    """The greatest ratio, in whole percent, at which the perplexity is at most ``most`` times the dense one, and a sentence.

    Read between two of ``runs`` as :func:`interpolated` does. Above the highest one, or without any, it is the forecast of
    the curves, whose nats are multiplied by what that run measured over what they predict of it. Raises
    :class:`InvalidSpecError` if no ratio meets it, or if the model has no perplexity.
    """
    heads = {task_named(task).head for task in spec.evaluate}
    if heads and not heads & {None, *OF_LANGUAGE_MODELS}:
        raise InvalidSpecError(f"{spec.model} has no perplexity; ask for a share of the parameters or a size.")

    highest = max(runs, default=0.0)
    dense = evaluation_of(runs[highest], PERPLEXITY.name, "dense") if runs else None

    def at(ratio: float) -> PruneSpec:
        return spec.model_copy(update={"ratio": ratio})

    def measured(ratio: float) -> float:
        """Beside the dense perplexity; infinite above the highest run."""
        return interpolated(at(ratio), runs).get(PERPLEXITY.name, inf) / dense.value if dense else inf

    reached = measured(highest)
    is_between, is_beyond = most < reached < inf, 1 < reached <= most
    scale = log(reached) / log(predicted_loss(at(highest), atlas)) if is_beyond else 1.0

    def predicted(ratio: float) -> float:
        try:
            return float(predicted_loss(at(ratio), atlas) ** scale)
        except EmptySiteError:
            return inf

    ratio = ratio_of_loss(most, measured if is_between else predicted)
    found = measured(ratio)
    if ratio in runs and found < inf:
        return ratio, f"A ratio of {ratio:g} meets that: {found:.2f} x the dense perplexity, measured."
    if found < inf:
        ends = ends_in_words(at(ratio), runs)
        return ratio, f"A ratio of {ratio:g} meets that: about {found:.2f} x the dense perplexity, between {ends}."
    beside = f", in proportion to the run at {100 * highest:.0f} %" if is_beyond else ""
    return ratio, (
        f"At a ratio of {ratio:g} the curves forecast {predicted(ratio):.2f} x the dense perplexity{beside}. They mostly "
        "forecast too much; “Measure it” tells."
    )


def meet_quality(least: float, spec: PruneSpec, runs: Mapping[float, RunSummary]) -> tuple[float, str]:
    """The highest ratio, in whole percent, at which ``runs`` keep a share ``least`` of the dense model's first metric, and a
    sentence on what it keeps. Raises :class:`InvalidSpecError` if no run tells.
    """
    task = next(iter(spec.evaluate), "")
    dense = evaluation_of(next(iter(runs.values())), task, "dense") if runs else None
    if dense is None or METRICS[dense.metric].by_ratio or not dense.value > 0:
        raise InvalidSpecError(
            "No measured run of this recipe has such a metric; ask for a size, a share of the parameters, or a perplexity."
        )
    best = (0.0, 1.0)
    for percent in range(1, round(100 * max(runs)) + 1):
        values = interpolated(spec.model_copy(update={"ratio": percent / 100}), runs)
        if task in values and values[task] / dense.value >= least:
            best = (percent / 100, values[task] / dense.value)
    ratio, kept = best
    origin = "measured" if ratio in runs else f"between {ends_in_words(spec.model_copy(update={'ratio': ratio}), runs)}"
    return ratio, f"A ratio of {ratio:g} keeps {100 * kept:.0f} % of the {METRICS[dense.metric].title}, {origin}."


def _ends(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> tuple[float, float] | None:
    """Nearest measured ratios below that of ``spec`` and from it on; 0 is the dense model."""
    ratios = sorted({0.0, *runs})
    place = max(1, bisect_left(ratios, spec.ratio))
    return (ratios[place - 1], ratios[place]) if place < len(ratios) else None
