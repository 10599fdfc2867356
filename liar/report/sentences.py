"""Sentences about a run, for the page, reports and the command line.

>>> from liar.report.sentences import verdict
>>> from liar.store import RunStore
>>> verdict(RunStore().shipped_of("demo/smollm2-135m")).split(":")[0]
'Half of the neurons gone'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

from liar.report.compare import Recovery, difference, differing, in_metric, is_chance, recovery_of
from liar.report.labels import choice
from liar.report.speed_sentences import speed_words
from liar.results import VARIANTS, Evaluation, MeasuredVariant, RunResult, SiteReport, Totals
from liar.spec import PruneSpec, Separator, SiteKind
from liar.tasks.metrics import METRICS
from liar.tasks.record import ITEM_WORDS
from liar.tasks.registry import task_named
from liar.tasks.texts import text_named

_BETWEEN: Mapping[Separator | None, str] = {
    "document": "document tokens",
    "newline": "newlines",
    "blank-line": "blank lines",
    "end": "end tokens",
}

_IN_RECIPE = (
    *("model", "targets", "ratio", "criterion", "allocation", "reconstruction", "schedule", "tokens", "seed", "edits"),
    *("quantize", "evaluate"),
)
"""Choices that :func:`_unusual` leaves out: :func:`recipe` always states them, and tasks appear with their figures."""

_FRACTIONS = ((0.25, "A quarter"), (1 / 3, "A third"), (0.5, "Half"), (2 / 3, "Two thirds"), (0.75, "Three quarters"))
_UNITS: dict[SiteKind, str] = {"attention": "heads", "ffn": "neurons"}


class SiteOutcome(Protocol):
    """Sites of a recipe, measured or forecast."""

    @property
    def spec(self) -> PruneSpec: ...
    @property
    def sites(self) -> Sequence[SiteReport]: ...


class Outcome(SiteOutcome, Protocol):
    """Common part of a finished run and a forecast."""

    @property
    def totals(self) -> Totals: ...


class Measurements(Protocol):
    """Common part of a run and its summary."""

    @property
    def evaluations(self) -> Sequence[Evaluation]: ...


def verdict(result: RunResult) -> str:
    """One sentence: share removed, effect of pruning and repair on each task, parameters saved, and speed."""
    if all(site.kept == site.units for site in result.sites):
        return "Nothing was removed: the model is as dense as before."
    measured = [words for task in _tasks(result) if (words := _effect(result, task))]
    sentence = f"{_removed(result)} gone" + (": " + "; ".join(measured) if measured else "")
    speed = [speed_words(item) for item in result.gains if (item.than, item.variant) == ("dense", "reconstructed")]
    return "; ".join([sentence, f"{_percent(_saved(result))} fewer parameters", *speed]) + "."


def outlook(forecast: Outcome) -> str:
    """One sentence on the expected effect of a recipe that has not been applied."""
    if all(site.kept == site.units for site in forecast.sites):
        return "Nothing would be removed: the model stays as dense as it is."
    return f"{_removed(forecast)} gone: {_expected_errors(forecast)}; {_percent(_saved(forecast))} fewer parameters."


def _expected_errors(forecast: Outcome) -> str:
    """Mean errors over the sites at which they are known, and the number of other sites."""
    chosen = forecast.spec.reconstruction
    known = [site.error for site in forecast.sites if {"none", chosen} <= site.error.keys()]
    missing = len(forecast.sites) - len(known)
    if not known:
        return "its error is not known for units chosen by hand"
    errors = f"predicted error {fmean(error['none'] for error in known):.3f}"
    if chosen != "none":
        errors += f", repaired {fmean(error[chosen] for error in known):.3f}"
    if not missing:
        return errors
    sites = "the site" if missing == 1 else f"the {missing} sites"
    return f"{errors}, not counting {sites} whose units were chosen by hand, where it is not known"


def parameters(result: Outcome) -> str:
    """Sentence on the parameters removed, of the blocks and of the whole model."""
    totals = result.totals
    blocks = _share(totals.block_parameters_before, totals.block_parameters_after)
    return (
        f"{count(totals.parameters_before)} → {count(totals.parameters_after)} parameters; "
        f"{_percent(blocks)} of the blocks and {_percent(_saved(result))} of the whole model removed."
    )


def rounding(result: Outcome) -> str | None:
    """Sentence on the error that rounding the kept neurons adds; None if they were not rounded."""
    pairs = [(site.error.get(result.spec.reconstruction, 0.0), site.unrounded) for site in result.sites]
    errors = [(error, unrounded.error) for error, unrounded in pairs if unrounded is not None]
    if not errors:
        return None
    rounded, plain = (fmean(values) for values in zip(*errors, strict=True))
    return (
        f"Kept neurons are multiples of {result.spec.multiple}: the mean error is {rounded:.4f}, without rounding it "
        f"would be {plain:.4f}."
    )


def recipe(spec: PruneSpec) -> str:
    """Sentence with the choices of a run, in the order in which they act."""
    targets = {"ffn": "FFN neurons", "heads": "attention heads", "both": "heads and neurons"}[spec.targets]
    return (
        f"{spec.model}: {_percent(spec.ratio)} of the {targets}, {spec.criterion} criterion, "
        f"{spec.allocation} allocation, {spec.reconstruction} reconstruction, {spec.schedule}, "
        f"{spec.tokens:,} calibration tokens, seed {spec.seed}{_edited(spec)}{_quantized(spec)}{_unusual(spec)}."
    )


def calibrated_on(result: RunResult) -> str | None:
    """``Calibrated on the train part of wiki: 12,288 tokens in 48 sequences.``; None if an older file lacks it."""
    text = result.calibration
    if text is None:
        return None
    part = f"the {text.split} part of " if text.split else ""
    cut = f", {text.cut:,} of them cut" if text.cut else ""
    return f"Calibrated on {part}{text.source}: {text.tokens:,} tokens in {text.sequences:,} sequences{cut}."


def measurement(item: Evaluation) -> str:
    """Metric and items: ``perplexity, 20 windows of 256 tokens of Wikipedia leads with document tokens between texts``."""
    return f"{METRICS[item.metric].title_of(item.task)}, {sample(item)}"


def measured_on(result: RunResult) -> str | None:
    """``Perplexity: 20 windows of 256 tokens of Wikipedia leads.``; None if nothing was measured."""
    firsts = {item.task: item for item in reversed(result.evaluations)}
    words = "; ".join(measurement(firsts[task]).replace(", ", ": ", 1) for task in _tasks(result))
    return f"{words[0].upper()}{words[1:]}." if words else None


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


def beside_dense(result: Measurements, evaluation: Evaluation) -> str | None:
    """``2.61 ± 0.08 x dense`` or ``94 %, -5.5 ± 0.7 points``; without the paired standard error if it is not known.

    None if the dense model was not measured or its metric is zero.
    """
    measured = _values(result, evaluation.task).get("dense")
    dense = None if measured is None else in_metric(measured, evaluation.metric)
    if dense is None or not dense.value:
        return None
    found, share = difference(dense, evaluation), evaluation.value / dense.value
    if METRICS[evaluation.metric].by_ratio:
        known = found.ratio_stderr is not None and evaluation.variant != "dense"
        return f"{share:.2f} ± {found.ratio_stderr:.2f} x dense" if known else f"{share:.1f} x dense"
    if not found.paired or found.stderr is None or evaluation.variant == "dense":
        return _percent(share)
    return f"{_percent(share)}, {METRICS[evaluation.metric].change_words(found.change, found.stderr)}"


def recovery(result: RunResult, task: str) -> Recovery | None:
    """Share of the damage of pruning that the repair gave back, by the main metric; negative if it added damage.

    None if there was no repair, if pruning did no damage, if the task was not measured on all three variants, or if the
    share would be chance: the change by pruning or by the repair lies within its paired standard error.
    """
    values = variants_of(result, task)
    if values is None or result.spec.reconstruction == "none" or in_doubt(result, task):
        return None
    dense, pruned, reconstructed = (values[variant] for variant in VARIANTS)
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
    if is_chance(values["dense"], values["pruned"]):
        return "what pruning broke lies within the standard error"
    if is_chance(values["pruned"], values["reconstructed"]):
        return "the repair changed no more than the standard error"
    return None


def repair(result: RunResult, task: str) -> str | None:
    """The recovery in words, or the reason of :func:`in_doubt`; None if there is neither."""
    found = recovery(result, task)
    if found is None:
        return in_doubt(result, task)
    if found.share < 0:
        return f"the repair broke {recovery_words(Recovery(-found.share, found.stderr))} more"
    return f"the repair gave back {recovery_words(found)} of what pruning broke"


def variant_name(variant: MeasuredVariant) -> str:
    """Name for display: ``dense-int8`` -> ``dense int8``."""
    return variant.replace("-", " ")


def count(number: int) -> str:
    """Short form of a large number: ``134515008`` -> ``134.5 M``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def duration(seconds: float) -> str:
    """Remaining time in words, no more exact than the estimate."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {round(seconds / 60)} min"


def _unusual(spec: PruneSpec) -> str:
    """Choices that differ from their defaults and that the other words of a recipe leave out."""
    names = [name for name in differing([spec, PruneSpec()]) if name not in _IN_RECIPE]
    return "".join(f", {choice(spec, name)}" for name in names)


def _edited(spec: PruneSpec) -> str:
    sites = len({edit.split(":")[0] for edit in spec.edits})
    return f", edited by hand at {sites} {'site' if sites == 1 else 'sites'}" if sites else ""


def _quantized(spec: PruneSpec) -> str:
    return f", also measured with {spec.quantize} weights" if spec.quantize != "none" else ""


def _removed(result: Outcome) -> str:
    """``Half of the neurons``; each kind separately if their shares differ."""
    shares: dict[SiteKind, float] = {}
    for kind in ("attention", "ffn"):
        sites = [site for site in result.sites if site.kind == kind]
        if sites:
            shares[kind] = _share(sum(site.units for site in sites), sum(site.kept for site in sites))
    spoken = {kind: _fraction(share) for kind, share in shares.items()}
    if len(set(spoken.values())) == 1:
        return f"{next(iter(spoken.values()))} of the {' and '.join(_UNITS[kind] for kind in spoken)}"
    phrases = [f"{share} of the {_UNITS[kind]}" for kind, share in spoken.items()]
    return " and ".join([phrases[0], *(phrase[0].lower() + phrase[1:] for phrase in phrases[1:])])


def _effect(result: RunResult, task: str) -> str | None:
    """``perplexity 16.2 → 110.7, repaired 42.4``; None if the task was not measured on all three variants."""
    values = variants_of(result, task)
    if values is None:
        return None
    dense, pruned, reconstructed = (value_words(values[variant]) for variant in VARIANTS)
    repair = "not repaired" if result.spec.reconstruction == "none" else f"repaired {reconstructed}"
    return f"{METRICS[values['dense'].metric].title_of(task)} {dense} → {pruned}, {repair}"


def _values(result: Measurements, task: str) -> dict[MeasuredVariant, Evaluation]:
    return {item.variant: item for item in result.evaluations if item.task == task}


def variants_of(result: RunResult, task: str) -> dict[MeasuredVariant, Evaluation] | None:
    """The task's evaluation of each variant; None if one is missing."""
    values = _values(result, task)
    return values if values.keys() >= set(VARIANTS) else None


def _tasks(result: RunResult) -> list[str]:
    return list(dict.fromkeys(item.task for item in result.evaluations))


def _saved(result: Outcome) -> float:
    return _share(result.totals.parameters_before, result.totals.parameters_after)


def _share(before: int, after: int) -> float:
    return 1 - after / before if before else 0.0


def _fraction(share: float) -> str:
    for value, words in _FRACTIONS:
        if abs(share - value) < 0.006:
            return words
    return _percent(share)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
