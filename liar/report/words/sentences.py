"""Sentences about a run, for the page, reports and the command line, and its label in legends, tables and menus.

>>> from liar.report.words.sentences import verdict
>>> from liar.store import RunStore
>>> verdict(RunStore().shipped_of("demo/smollm2-135m")).split(":")[0]
'Half of the neurons gone'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from liar.explore.allocation import UNITS_OF
from liar.explore.forecast import Forecast
from liar.report.words.cost_sentences import speed_words
from liar.report.words.metric_sentences import counts, percent, share_gone, value_words, variants_of
from liar.report.words.site_sentences import NO_ERROR
from liar.results import CalibrationText, RunResult, removed_layers
from liar.spec import AUTO, PruneSpec, SiteKind, StageName
from liar.statistics.compare import by_task, differing
from liar.tasks.metrics import METRICS
from liar.tasks.mixes import shares_of

_IN_RECIPE = (
    *("model", "targets", "ratio", "layers", "criterion", "allocation", "reconstruction", "schedule", "tokens", "seed"),
    *("edits", "quantize", "evaluate", "vocabulary"),
)
"""Choices that :func:`recipe` states in other words, and the tasks, which appear with their figures."""

_FRACTIONS = ((0.25, "A quarter"), (1 / 3, "A third"), (0.5, "Half"), (2 / 3, "Two thirds"), (0.75, "Three quarters"))
UNITS: dict[SiteKind, str] = {"attention": "heads", "ffn": "neurons"}


Outcome = RunResult | Forecast
"""Sites of a recipe and the parameters that it leaves, measured or predicted."""


def verdict(result: RunResult) -> str:
    """One sentence: share removed, effect of pruning and repair on each task, parameters saved, and speed."""
    if is_whole(result):
        return "Nothing was removed: the model is as dense as before."
    measured = [words for task in by_task(result.evaluations) if (words := _effect(result, task))]
    sentence = f"{_removed(result)} gone" + (": " + "; ".join(measured) if measured else "")
    speed = [speed_words(item) for item in result.gains if (item.than, item.variant) == ("dense", "reconstructed")]
    return "; ".join([sentence, f"{percent(_saved(result))} fewer parameters", *speed]) + "."


def is_whole(result: RunResult) -> bool:
    """Whether nothing went."""
    return result.vocabulary is None and all(site.kept == site.units for site in result.sites)


def outlook(forecast: Forecast) -> str:
    """One sentence on the expected effect of a recipe that has not been applied."""
    if all(site.kept == site.units for site in forecast.sites):
        return "Nothing would be removed: the model stays as dense as it is."
    return f"{_removed(forecast)} gone: {_expected_errors(forecast)}; {percent(_saved(forecast))} fewer parameters."


def unbroken(words: str) -> str:
    """``words`` without line breaks at arrows and before percent signs."""
    return words.replace(" → ", "\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}").replace(" %", "\N{NO-BREAK SPACE}%")


def mean_words(errors: Sequence[float]) -> str:
    """Mean of the errors of sites: three decimals, or one digit of a smaller one."""
    mean = fmean(errors)
    return f"{mean:.3f}" if mean >= 0.001 else f"{mean:.1g}" if mean >= NO_ERROR else "0"


def _expected_errors(forecast: Forecast) -> str:
    """Mean errors over the sites at which they are known, and the number of other sites."""
    chosen = forecast.spec.reconstruction
    known = [site.error for site in forecast.sites if {"none", chosen} <= site.error.keys()]
    missing = len(forecast.sites) - len(known)
    if not known:
        return "its error is not known for units chosen by hand"
    about = "about " if forecast.runs else ""
    origin = "" if forecast.is_between else "predicted "
    errors = f"{origin}error {about}{mean_words([error['none'] for error in known])}"
    if chosen != "none":
        errors += f", repaired {about}{mean_words([error[chosen] for error in known])}"
    if not missing:
        return errors
    sites = "the site" if missing == 1 else f"the {missing} sites"
    return f"{errors}, not counting {sites} whose units were chosen by hand, where it is not known"


def parameters(result: Outcome) -> str:
    """Sentence on the parameters removed, of the blocks and of the whole model."""
    totals = result.totals
    blocks = share_gone(totals.block_parameters_before, totals.block_parameters_after)
    return (
        f"{' → '.join(counts(totals.parameters_before, totals.parameters_after))} parameters; "
        f"{percent(blocks)} of the blocks and {percent(_saved(result))} of the whole model removed."
    )


def recipe(spec: PruneSpec) -> str:
    """Sentence with the choices of a run, in the order in which they act."""
    targets = {"ffn": "FFN neurons", "heads": "attention heads", "both": "heads and neurons", "layers": "layers"}
    how = _HOW[spec.stages].format(spec=spec)
    return (
        f"{spec.model}: {before_them(spec)}{percent(spec.ratio)} of the {targets[spec.targets]}, {how}, "
        f"{token_words(spec.tokens, 'calibration tokens')}, seed {spec.seed}{_additions(spec)}."
    )


def before_them(spec: PruneSpec) -> str:
    """``all but 8,000 tokens, then 10 % of the layers, then ``: what goes before heads and neurons; mostly nothing."""
    if spec.vocabulary is None:
        tokens = ""
    elif spec.vocabulary.isdecimal():
        tokens = f"all but {int(spec.vocabulary):,} tokens, then "
    else:
        tokens = f"all tokens but those of {spec.vocabulary}, then "
    return f"{tokens}{percent(spec.layers)} of the layers, then " if spec.layers else tokens


def calibrated_on(result: RunResult) -> str | None:
    """``Calibrated on the train part of wiki: 12,288 tokens in 48 sequences.``; None if an older file lacks it."""
    text = result.calibration
    if text is None:
        return None
    read = [(f"the {part.split} part of " if part.split else "") + part.source for part in text.parts]
    parts = [share.parts for share in shares_of(text.source)]
    if len(set(parts)) > 1:
        read = [f"{words} ({percent(number / sum(parts))})" for words, number in zip(read, parts, strict=True)]
    equal = "" if len(read) == 1 or len(set(parts)) > 1 else "equal shares of "
    words = read[0] if len(read) == 1 else f"{equal}{', '.join(read[:-1])} and {read[-1]}"
    cut = f", {text.cut:,} of them cut" if text.cut else ""
    return f"Calibrated on {words}: {text.tokens:,} tokens in {text.sequences:,} sequences{cut}."


def shared_texts(text: CalibrationText) -> list[str]:
    """``12 % of the texts that sentiment measures were also used to repair the model.``, for each such task."""
    return [
        f"{percent(share)} of the texts that {task} measures were also used to repair the model."
        for task, share in text.shared.items()
    ]


def duration(seconds: float) -> str:
    """Remaining time in words, no more exact than the estimate."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {round(seconds / 60)} min"


def _additions(spec: PruneSpec) -> str:
    """Edits, int8 weights, and the other choices that differ from their defaults and that a recipe does not always state."""
    sites = len({edit.split(":")[0] for edit in spec.edits})
    words = [f"edited by hand at {sites} {'site' if sites == 1 else 'sites'}"] if sites else []
    words += [f"also measured with {spec.quantize} weights"] if spec.quantize != "none" else []
    words += [choice(spec, name) for name in differing([spec, PruneSpec()]) if name not in _IN_RECIPE]
    return "".join(f", {each}" for each in words)


def _removed(result: Outcome) -> str:
    """What each stage removed; of heads and neurons a share of those in the layers that are left."""
    report = result.vocabulary if isinstance(result, RunResult) else None
    tokens = [f"{report.tokens - report.kept:,} of {report.tokens:,} tokens"] if report is not None else []
    first, *then = (*tokens, *(_REMOVED[stage](result) for stage in result.spec.stages))
    return ", then ".join([first, *(words[0].lower() + words[1:] for words in then)])


def _removed_layers(result: Outcome) -> str:
    """``6 of 30 layers``."""
    return f"{len(removed_layers(result.sites))} of {len({site.layer for site in result.sites})} layers"


def _removed_units(result: Outcome) -> str:
    """``Half of the neurons``; each kind separately if their shares differ."""
    shares: dict[str, str] = {}
    for kind, name in UNITS.items():
        if sites := [site for site in result.sites if site.kind == kind and site.kept]:
            share = share_gone(sum(site.units for site in sites), sum(site.kept for site in sites))
            shares[name] = next((words for value, words in _FRACTIONS if abs(share - value) < 0.006), percent(share))
    if len(set(shares.values())) == 1:
        return f"{next(iter(shares.values()))} of the {' and '.join(shares)}"
    first, *others = (f"{share} of the {name}" for name, share in shares.items())
    return " and ".join([first, *(phrase[0].lower() + phrase[1:] for phrase in others)])


_REMOVED: Mapping[StageName, Callable[[Outcome], str]] = {"depth": _removed_layers, "width": _removed_units}
_OF_WIDTH = (
    "{spec.criterion} criterion, {spec.allocation} allocation, {spec.reconstruction} reconstruction, {spec.walked}"
)
_HOW: Mapping[tuple[StageName, ...], str] = {
    ("depth",): "one run of layers, {spec.reconstruction} reconstruction",
    ("width",): _OF_WIDTH,
    ("depth", "width"): f"one run of layers, {_OF_WIDTH}",
}
"""Choices of the stages in words."""


def _effect(result: RunResult, task: str) -> str | None:
    """``perplexity 16.2 → 110.7, repaired 42.4``; None if the task was not measured on all three variants."""
    values = variants_of(result, task)
    if values is None:
        return None
    dense, pruned, reconstructed = map(value_words, values)
    repair = "not repaired" if result.spec.reconstruction == "none" else f"repaired {reconstructed}"
    return f"{METRICS[values[0].metric].title_of(task)} {dense} → {pruned}, {repair}"


def _saved(result: Outcome) -> float:
    return share_gone(result.totals.parameters_before, result.totals.parameters_after)


# -- labels ----------------------------------------------------------------------------------------------------------------


def token_words(tokens: int | str, unit: str = "tokens") -> str:
    """``12,288 tokens``; ``tokens by model width`` if the spec sets none."""
    return f"{unit} by model width" if tokens == AUTO else f"{tokens:,} {unit}"


_FORMS: Mapping[str, Callable[[Any], str]] = {
    # Values that are clear without the name of the choice.
    **dict.fromkeys(("model", "criterion", "allocation", "reconstruction", "schedule", "dtype"), str),
    "targets": UNITS_OF.__getitem__,
    "ratio": "ratio {:g}".format,
    "layers": "layers {:g}".format,
    "calibration": lambda text: "the default text" if text == AUTO else f"text {text}",
    "tokens": token_words,
    "sequence_length": "{:,} a sequence".format,
    "evaluate": lambda tasks: f"measured: {', '.join(tasks)}" if tasks else "its model's task measured",
    "evaluate_length": lambda length: f"measured at {f'{length:,} tokens' if length else 'the default length'}",
    "evaluate_limit": lambda limit: "the default number of items" if limit is None else f"{limit:,} items",
    "edits": lambda edits: f"{len(edits)} edits" if edits else "no edits",
    "intercept": lambda intercept: "with an intercept" if intercept else "without an intercept",
}


def choice(spec: PruneSpec, name: str) -> str:
    """One choice of a recipe in words, for a legend."""
    value = getattr(spec, name)
    return _FORMS[name](value) if name in _FORMS else f"{name.replace('_', ' ')} {value}"


def short_recipe(spec: PruneSpec, apart: Sequence[str] = ()) -> str:
    """Label of a recipe: ``50 % of neurons: obs, loss-curve, least-squares, sequential``.

    The words ``apart`` stand near its start, since a menu cuts the end of a long label.
    """
    of_width = [spec.criterion, spec.allocation, spec.reconstruction, spec.walked]
    choices: list[str] = of_width if spec.cuts_width else [spec.reconstruction]
    choices += [] if spec.intercept else ["without an intercept"]
    choices += ["edited by hand"] if spec.edits else []
    tokens = f"{spec.vocabulary} tokens, " if spec.vocabulary else ""
    first = f"{100 * spec.layers:.0f} % of layers, " if spec.layers else ""
    removed = f"{tokens}{first}{100 * spec.ratio:.0f} % of {UNITS_OF[spec.targets]}"
    return f"{', '.join([removed, *apart])}: {', '.join(choices)}"


def run_labels(specs: Sequence[PruneSpec]) -> list[str]:
    """:func:`short_recipe` of each spec; equal ones also get the choices that differ: ``50 % of neurons, seed 3: ...``.

    Only specs of one model are compared, since a list of runs shows the model beside the label. The run key is added if the
    choices in words are equal too (two hand edits).
    """
    alike: dict[tuple[str, str], list[PruneSpec]] = {}
    for spec in specs:
        alike.setdefault((spec.model, short_recipe(spec)), []).append(spec)
    labels: dict[PruneSpec, str] = {}
    for group in alike.values():
        names = differing(group)
        words = {spec: tuple(choice(spec, name) for name in names) for spec in group}
        uses = Counter(words.values())
        for spec, apart in words.items():
            labels[spec] = short_recipe(spec, apart if uses[apart] == 1 else (*apart, f"run {spec.key[:8]}"))
    return [labels[spec] for spec in specs]
