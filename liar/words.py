"""A run in words: the sentences that stand above its figures, on the page, in reports and on the command line."""

from __future__ import annotations

from liar.results import RunResult, Variant
from liar.spec import SiteKind, Task

_FRACTIONS = ((0.25, "A quarter"), (1 / 3, "A third"), (0.5, "Half"), (2 / 3, "Two thirds"), (0.75, "Three quarters"))
_UNITS: dict[SiteKind, str] = {"attention": "heads", "ffn": "neurons"}


def verdict(result: RunResult) -> str:
    """One sentence: what went, what that broke, what the repair gave back."""
    if all(site.kept == site.units for site in result.sites):
        return "Nothing was removed: the model is as dense as before."
    measured = [words for task in _tasks(result) if (words := _effect(result, task))]
    sentence = f"{_removed(result)} gone" + (": " + "; ".join(measured) if measured else "")
    return f"{sentence}; {_percent(_saved(result))} fewer parameters."


def parameters(result: RunResult) -> str:
    """The parameters really removed, of the blocks and of the whole model."""
    totals = result.totals
    blocks = _share(totals.block_parameters_before, totals.block_parameters_after)
    return (
        f"{count(totals.parameters_before)} → {count(totals.parameters_after)} parameters; "
        f"{_percent(blocks)} of the blocks and {_percent(_saved(result))} of the whole model removed."
    )


def recipe(result: RunResult) -> str:
    """The choices that made this run, in the order in which they act."""
    spec = result.spec
    targets = {"ffn": "FFN neurons", "heads": "attention heads", "both": "heads and neurons"}[spec.targets]
    return (
        f"{spec.model}: {_percent(spec.ratio)} of the {targets}, {spec.criterion} criterion, "
        f"{spec.allocation} allocation, {spec.reconstruction} reconstruction, {spec.schedule}, "
        f"{spec.tokens:,} calibration tokens, seed {spec.seed}."
    )


def measurement(result: RunResult, task: Task) -> str:
    """What a metric was measured on: ``perplexity, 20 windows of 256 tokens``."""
    first = next(item for item in result.evaluations if item.task == task)
    if first.metric == "perplexity":
        length = f" of {first.sequence_length} tokens" if first.sequence_length else ""
        return f"perplexity, {first.n:,} windows{length}"
    return f"{task} accuracy, {first.n:,} sentences"


def metric_value(value: float, metric: str) -> str:
    """A metric as people say it: accuracy in percent, perplexity with the digits that matter."""
    if metric == "accuracy":
        return f"{100 * value:.1f} %"
    return f"{value:.1f}" if value < 1_000 else f"{value:,.0f}"


def count(number: int) -> str:
    """``134515008`` -> ``134.5 M``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def duration(seconds: float) -> str:
    """A time left, no more exact than an estimate deserves."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {round(seconds / 60)} min"


def _removed(result: RunResult) -> str:
    """``Half of the neurons``, or each kind by itself where their shares differ."""
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


def _effect(result: RunResult, task: Task) -> str | None:
    """``perplexity 16.2 → 110.7, repaired 42.4``; None where the task was not measured on all three variants."""
    values = {item.variant: item for item in result.evaluations if item.task == task}
    if not values.keys() >= {"dense", "pruned", "reconstructed"}:
        return None

    def said(variant: Variant) -> str:
        return metric_value(values[variant].value, values[variant].metric)

    name = "perplexity" if task == "perplexity" else f"{task} accuracy"
    repair = "not repaired" if result.spec.reconstruction == "none" else f"repaired {said('reconstructed')}"
    return f"{name} {said('dense')} → {said('pruned')}, {repair}"


def _tasks(result: RunResult) -> list[Task]:
    return list(dict.fromkeys(item.task for item in result.evaluations))


def _saved(result: RunResult) -> float:
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
