"""The headline of the page: what went, and the main metric of the whole, the cut and the repaired model.

>>> from liar.report.headline import headline
>>> from liar.store import RunStore
>>> headline(RunStore().shipped_of("demo/minilm-sentiment"))
'50 % of the units gone: 86.1 % correct, cut 85.7 %, repaired 85.8 %.'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liar.report.interpolation import interpolated
from liar.report.words.cost_sentences import trend
from liar.report.words.metric_sentences import measured_on, metric_of, percent, share_gone
from liar.report.words.sentences import is_whole, parameters, recipe, verdict
from liar.results import VARIANTS, Evaluation, RunResult, SpeedGain, Totals
from liar.spec import PruneSpec, Targets
from liar.statistics.compare import by_task
from liar.store import RunSummary
from liar.tasks.metrics import METRICS, Metric

_UNITS: Mapping[Targets, str] = {"ffn": "neurons", "heads": "heads", "both": "units", "layers": "layers"}


def headline(result: RunResult) -> str:
    """At most 14 words, the ratio and three figures: those of the first task that was measured on all three models."""
    if is_whole(result):
        return "Nothing is gone: the model is whole."
    return headline_of(result.spec, result.evaluations) or f"{went(result.spec)} gone."


def headline_of(spec: PruneSpec, evaluations: Sequence[Evaluation]) -> str:
    """The same of what was measured so far; empty if no task was measured on all three models."""
    for items in by_task(evaluations).values():
        if items.keys() >= set(VARIANTS):
            metric = METRICS[items["dense"].metric]
            whole, cut, repaired = (metric.words(items[variant].value) for variant in VARIANTS)
            mended = "not repaired" if spec.reconstruction == "none" else f"repaired {repaired}"
            return f"{went(spec)} gone: {_named(metric, whole)}, cut {cut}, {mended}."
    return ""


def headline_between(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> str:
    """``65 % of the units gone: about 77.5 % correct, repaired about 84.9 %.``; empty if nothing can be interpolated."""
    cut, repaired = (interpolated(spec, runs, variant) for variant in VARIANTS[1:])
    task = next((name for name in spec.evaluate if name in cut and name in repaired), None)
    if task is None:
        return ""
    metric = metric_of(runs.values(), task)
    words = f"cut about {_named(metric, metric.words(cut[task]))}, repaired about {metric.words(repaired[task])}"
    return f"{went(spec)} gone: {words}."


def went(spec: PruneSpec) -> str:
    """``70 % of the units``: what the ratio is a share of; ``Tokens, 10 % of layers, 40 % of neurons`` of a chain."""
    tokens = [] if spec.vocabulary is None else ["Tokens"]
    layers = [f"{percent(spec.layers)} of layers"] if spec.layers else []
    the = "" if layers else "the "
    return ", ".join([*tokens, *layers, f"{percent(spec.ratio)} of {the}{_UNITS[spec.targets]}"])


def gains_in_words(totals: Totals, speeds: Sequence[SpeedGain] = ()) -> str:
    """``33 % smaller, 2.5 times as fast.``; without a speed that was not measured or cannot be told from noise."""
    words = [f"{percent(share_gone(totals.parameters_before, totals.parameters_after))} smaller"]
    for each in speeds:
        if (each.than, each.variant) == ("dense", "reconstructed") and trend(each.gain) not in ("noisy", "alike"):
            words.append(f"{each.gain.median:.1f} times as fast")
    return f"{', '.join(words)}."


def in_all_words(result: RunResult) -> list[str]:
    """Everything that the headline leaves out: all tasks; parameters, recipe and what was read; warnings."""
    made = f"{parameters(result)} {recipe(result.spec)} {measured_on(result) or ''}".rstrip()
    return [verdict(result), made, *result.warnings]


def _named(metric: Metric, words: str) -> str:
    return f"{words} correct" if metric.name == "accuracy" else f"{metric.title} {words}"
