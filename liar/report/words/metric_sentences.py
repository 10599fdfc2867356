"""Sentences and figures of one metric: its value, its items, its change by pruning, and what the repair recovered.

>>> from liar.report.words.metric_sentences import repair
>>> from liar.store import RunStore
>>> repair(RunStore().shipped_of("demo/smollm2-135m"), "perplexity").startswith("the repair recovered ")
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from liar.results import VARIANTS, Evaluation, MeasuredVariant, RunResult
from liar.spec import Separator
from liar.statistics.compare import Recovery, by_task, difference, in_metric, is_chance, recovery_of
from liar.store import RunSummary
from liar.tasks.metrics import METRICS, Metric
from liar.tasks.record import ITEM_WORDS
from liar.tasks.registry import task_named
from liar.tasks.texts import text_named

_BETWEEN: Mapping[Separator | None, str] = {
    "document": "document tokens",
    "newline": "newlines",
    "blank-line": "blank lines",
    "end": "end tokens",
}

_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))

Run = RunResult | RunSummary


def measured_on(result: RunResult) -> str | None:
    """``Perplexity: 20 windows of 256 tokens of Wikipedia leads.``; None if nothing was measured."""
    firsts = [next(iter(items.values())) for items in by_task(result.evaluations).values()]
    words = "; ".join(measurement(item).replace(", ", ": ", 1) for item in firsts)
    return f"{capitalised(words)}." if words else None


def measurement(item: Evaluation) -> str:
    """Metric and items: ``perplexity, 20 windows of 256 tokens of Wikipedia leads with document tokens between texts``."""
    return f"{METRICS[item.metric].title_of(item.task)}, {sample(item)}"


def sample(item: Evaluation) -> str:
    """``20 windows of 256 tokens of Wikipedia leads``; ``1,200 of 1,590 texts of at most 256 tokens, 3 cut``."""
    length = item.sequence_length
    if METRICS[item.metric].of_windows:
        between = f" with {_BETWEEN[item.separator]} between texts" if item.separator in _BETWEEN else ""
        read = f" of {source_words(item.source)}" if item.source else ""
        return f"{item.n:,} windows" + (f" of {length:,} tokens" if length else "") + read + between
    read = f"{item.n:,}" if item.available in (None, item.n) else f"{item.n:,} of {item.available:,}"
    cut = f", {item.cut:,} cut" if item.cut else ""
    words = ITEM_WORDS.get(task_named(item.task).head, "texts")
    return f"{read} {words}" + (f" of at most {length:,} tokens{cut}" if length else "")


def source_words(source: str) -> str:
    """Titles of the texts of the demo bundle that ``source`` lists; any other source as it is."""
    texts = [text_named(name) for name in source.split(", ")]
    titles = [text.title for text in texts if text is not None]
    if len(titles) < len(texts):
        return source
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def baseline(item: Evaluation) -> str | None:
    """``Without knowledge: chance 50 %, most frequent label 54 %.``; None if there is no such level."""
    metric, task = METRICS[item.metric], task_named(item.task)
    if metric != task.metric and metric.reads != "scores":
        return None
    known = [("chance", task.chance), ("most frequent label", item.majority if metric.reads == "right" else None)]
    words = [f"{name} {metric.words(value)}" for name, value in known if value is not None]
    return f"Without knowledge: {', '.join(words)}." if words else None


def value_words(item: Evaluation) -> str:
    """The value of an evaluation: ``41.1`` or ``86.1 %``."""
    return METRICS[item.metric].words(item.value)


def stderr_words(item: Evaluation) -> str:
    """Its standard error, in the same form."""
    return METRICS[item.metric].words(item.stderr)


def with_error(item: Evaluation) -> str:
    """A value and its standard error: ``86.1 % ± 1.0 %``."""
    return f"{value_words(item)} ± {stderr_words(item)}"


def measured_words(item: Evaluation) -> str:
    """Metric, value, standard error and n."""
    return f"{item.metric} {with_error(item)} (one standard error, n = {sample(item)})"


def metric_change(a: Evaluation, b: Evaluation) -> str:
    """Change from ``a`` to ``b``: ``+1.6 % (paired standard error 0.4 %)``; a perplexity also as a ratio."""
    found, metric = difference(a, b), METRICS[a.metric]
    change = f"{'+' if found.change > 0 else ''}{metric.words(found.change)}"
    if found.stderr is None:
        return f"{change} (no paired standard error is known)"
    stderr = metric.words(found.stderr)
    if not found.paired:
        return f"{change} (standard error {stderr}; measured on different items)"
    ratio = "" if found.ratio_stderr is None else f"; {found.ratio:.3f} ± {found.ratio_stderr:.3f} x"
    return f"{change} (paired standard error {stderr}{ratio})"


def beside_dense(result: Run, evaluation: Evaluation) -> str | None:
    """``2.61 ± 0.08 x dense`` or ``94 %, -5.5 ± 0.7 points``; without the paired standard error if it is not known.

    None if the dense model was not measured or its metric is zero.
    """
    measured = evaluation_of(result, evaluation.task, "dense")
    dense = None if measured is None else in_metric(measured, evaluation.metric)
    if dense is None or not dense.value:
        return None
    found, share = difference(dense, evaluation), evaluation.value / dense.value
    if METRICS[evaluation.metric].by_ratio:
        known = found.ratio_stderr is not None and evaluation.variant != "dense"
        return f"{share:.2f} ± {found.ratio_stderr:.2f} x dense" if known else f"{share:.1f} x dense"
    if not found.paired or found.stderr is None or evaluation.variant == "dense":
        return percent(share)
    return f"{percent(share)}, {METRICS[evaluation.metric].change_words(found.change, found.stderr)}"


def recovery(result: RunResult, task: str) -> Recovery | None:
    """Share of the damage of pruning that the repair recovered, by the main metric; negative if it added damage.

    None if there was no repair, if pruning did no damage, if the task was not measured on all three variants, or if the
    share would be chance: the change by pruning or by the repair lies within its paired standard error.
    """
    values = variants_of(result, task)
    if values is None or result.spec.reconstruction == "none" or in_doubt(result, task):
        return None
    dense, pruned, reconstructed = values
    if METRICS[dense.metric].loss(dense.value, pruned.value) <= 0:
        return None
    return recovery_of(dense, pruned, reconstructed)


def recovery_words(found: Recovery) -> str:
    """``72 ± 3 %``; without the standard error if it is not known."""
    share = f"{100 * found.share:,.0f}"
    return f"{share} %" if found.stderr is None else f"{share} ± {100 * found.stderr:,.0f} %"


def in_doubt(result: RunResult, task: str) -> str | None:
    """Reason why a :func:`recovery` would be chance, else None."""
    values = variants_of(result, task)
    if values is None or result.spec.reconstruction == "none":
        return None
    dense, pruned, reconstructed = values
    if is_chance(dense, pruned):
        return "what pruning broke lies within the standard error"
    if is_chance(pruned, reconstructed):
        return "the repair changed no more than the standard error"
    return None


def repair(result: RunResult, task: str) -> str | None:
    """The recovery in words, or the reason of :func:`in_doubt`; None if there is neither."""
    found = recovery(result, task)
    if found is None:
        return in_doubt(result, task)
    if found.share < 0:
        return f"the repair broke {recovery_words(Recovery(-found.share, found.stderr))} more"
    return f"the repair recovered {recovery_words(found)} of what pruning broke"


def variant_name(variant: MeasuredVariant) -> str:
    """Name for display: ``dense-int8`` -> ``dense int8``."""
    return variant.replace("-", " ")


def variants_of(result: RunResult, task: str) -> list[Evaluation] | None:
    """The task's evaluations of the dense, the pruned and the reconstructed model; None if one is missing."""
    values = by_task(result.evaluations).get(task, {})
    return [values[variant] for variant in VARIANTS] if values.keys() >= set(VARIANTS) else None


def evaluation_of(result: Run, task: str, variant: MeasuredVariant) -> Evaluation | None:
    """Evaluation of ``variant`` on ``task``, else None."""
    return next((item for item in result.evaluations if (item.task, item.variant) == (task, variant)), None)


def metric_of(runs: Iterable[Run], task: str) -> Metric:
    """The metric by which ``runs`` measured ``task``; its usual one if none of them did."""
    found = (METRICS[item.metric] for run in runs for item in run.evaluations if item.task == task)
    return next(found, task_named(task).metric)


def capitalised(words: str) -> str:
    """``words`` with a capital at the start, but for a name such as nDCG; the rest stays as it is."""
    return words if words[1:2].isupper() else words[:1].upper() + words[1:]


def percent(share: float) -> str:
    """``0.304`` -> ``30 %``; a half is rounded up, as the page to explore a run on does."""
    return f"{Decimal(100 * share).quantize(Decimal(1), ROUND_HALF_UP):f} %"


def count(number: int) -> str:
    """Short form of a large number: ``134515008`` -> ``134.5 M``."""
    return next((f"{number / size:.1f} {letter}" for size, letter in _SIZES if number >= size), str(number))


def counts(before: int, after: int) -> tuple[str, str]:
    """Short forms of two numbers that are compared, in the unit of the larger: ``1.03 M`` and ``0.59 M``."""
    most = max(before, after)
    for size, letter in _SIZES:
        if most >= size:
            digits = 1 if most >= 10 * size else 2
            return f"{before / size:.{digits}f} {letter}", f"{after / size:.{digits}f} {letter}"
    return str(before), str(after)


def share_gone(before: int, after: int) -> float:
    """Share of a number that pruning removed."""
    return 1 - after / before if before else 0.0
