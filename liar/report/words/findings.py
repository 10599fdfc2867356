"""Sentences on what a run found beside its metrics: layers that went, other text, the last norm, and int8 weights.

>>> from liar.report.words.findings import named
>>> named([13, 14, 15]), named([4])
('layers 13 to 15', 'layer 4')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liar.choices import Reconstruction
from liar.report.words.cost_sentences import trend
from liar.report.words.metric_sentences import beside_dense, recovery, source_words
from liar.report.words.site_sentences import error_words
from liar.results import QUANTIZED, Evaluation, MeasuredVariant, Quartiles, RunResult, SiteReport, removed_layers
from liar.statistics.compare import by_task, is_chance
from liar.tasks.metrics import METRICS
from liar.tasks.mixes import sources_of

_DOUBT = {
    (True, True): ", both within the standard errors",
    (True, False): ", the first within the standard errors",
    (False, True): ", the second within the standard errors",
    (False, False): ", both beyond the standard errors",
}


def findings(result: RunResult) -> list[str]:
    """Layers removed, text in and out of the domain of the calibration text, the last norm, and int8 weights, in the order in
    which page, report and command line show them.
    """
    found = [vocabulary(result), _layers(result)]
    found.append(domains(result))
    if result.attenuation is not None and round(result.attenuation, 2) != 1:
        found.append(
            f"The gain of the last norm is {result.attenuation:.2f} times the dense one, because the error that remains makes "
            "the model over-confident."
        )
    return [sentence for sentence in (*found, *quantizations(result)) if sentence]


def named(layers: Sequence[int]) -> str:
    """``layers 13 to 18`` for consecutive layers."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"


def what_went(sites: Sequence[SiteReport], reconstruction: Reconstruction) -> str:
    """Sentence on the layers that went and on what replaces them; of a removal of whole layers."""
    gone = removed_layers(sites)
    if not gone:
        return "No layer went: the ratio is nearest to none."
    patched = next((site for site in sites if site.error), None)
    words = f"{named(gone).capitalize()} went"
    if patched is None:
        return f"{words}."
    error, bare = (patched.norm_aware_error.get(each) for each in (reconstruction, "none"))
    if reconstruction == "none":
        return f"{words}, and nothing replaces them: the norm-aware error behind them is {error_words(bare)}."
    return (
        f"{words}, and layer {patched.layer} replaces them: the norm-aware error of the residual stream behind them is "
        f"{error_words(error)}, and {error_words(bare)} without the patch."
    )


def vocabulary(result: RunResult) -> str | None:
    """``8,000 of 30,522 tokens stay; of held-out text 2.1 % of the tokens (film reviews) and ... fall into smaller pieces.``"""
    report = result.vocabulary
    if report is None:
        return None
    shares = [f"{100 * share:.1f} % of {source_words(source)}" for source, share in report.split.items()]
    read = (
        f"; of the tokens of other texts {', '.join(shares)} fall into smaller pieces or become unknown"
        if shares
        else ""
    )
    return f"{report.kept:,} of {report.tokens:,} tokens stay{read}."


def _layers(result: RunResult) -> str | None:
    """:func:`what_went`; in a chain, whose sites have the errors of heads and neurons, by what was tried."""
    if "depth" not in result.spec.stages:
        return None
    gone = removed_layers(result.sites)
    if not gone or not result.spec.cuts_width:
        return what_went(result.sites, result.spec.reconstruction)
    error = next(run.norm_aware_error for run in result.tried if (run.first, run.layers) == (gone[0], len(gone)))
    behind = "nothing replaces them" if result.spec.reconstruction == "none" else f"layer {gone[0] - 1} replaces them"
    return (
        f"{named(gone).capitalize()} went first, and {behind}: the norm-aware error of the residual stream behind them was "
        f"{error_words(error)} on a sample of the text."
    )


def domains(result: RunResult) -> str | None:
    """Text like the calibration text beside other text, on which a repair is worth less.

    ``The reconstructed model has 1.25 ± 0.03 x dense perplexity in-domain (Wikipedia leads) and 1.52 ...``.

    None if perplexity was not measured on two texts, or the calibration text is not known.
    """
    measured = [
        item
        for item in result.evaluations
        if item.variant == "reconstructed" and METRICS[item.metric].of_windows and item.source is not None
    ]
    if len(measured) < 2 or result.calibration is None:
        return None
    words = [
        f"{beside} {_domain(item, result.calibration.source)} ({source_words(item.source or '')})"
        for item in measured
        if (beside := beside_dense(result, item)) is not None
    ]
    whom = "pruned" if result.spec.reconstruction == "none" else "reconstructed"
    return f"Perplexity of the {whom} model: {', '.join(words[:-1])} and {words[-1]}." if len(words) > 1 else None


def _domain(item: Evaluation, calibration: str) -> str:
    """``in-domain`` if all of its texts are calibration texts, other parts of them; else out of it, or partly."""
    sources = (item.source or "").split(", ")
    inside = sum(source in sources_of(calibration) for source in sources)
    return "in-domain" if inside == len(sources) else "partly in-domain" if inside else "out-of-domain"


def quantizations(result: RunResult) -> list[str]:
    """A sentence for each task on whether the repair is compatible with int8 weights, and one on memory and speed.

    Empty if no int8 model was measured.
    """
    sentences = [*(_effect(result, *each) for each in by_task(result.evaluations).items()), _savings(result)]
    return [sentence for sentence in sentences if sentence]


def _effect(result: RunResult, task: str, values: Mapping[MeasuredVariant, Evaluation]) -> str | None:
    """``Int8 weights: +0.02 perplexity on the dense model and +0.41 on the reconstructed one, both within ...``.

    The standard errors are those of the differences, see :func:`liar.statistics.compare.is_chance`. If the repair recovered
    something, the share of it that int8 weights keep is added. None if a model or its int8 copy was not measured.
    """
    if not values.keys() >= {*QUANTIZED, *QUANTIZED.values()}:
        return None
    pairs = [(values[exact], values[quantized]) for exact, quantized in QUANTIZED.items()]
    metric = METRICS[values["dense"].metric]
    dense, repaired = (f"{metric.scale * (quantized.value - exact.value):+.2f}" for exact, quantized in pairs)
    covers = [is_chance(exact, quantized) for exact, quantized in pairs]
    what = f"points of {metric.title_of(task)}" if metric.percent else metric.title_of(task)
    whom = "pruned" if result.spec.reconstruction == "none" else "reconstructed"
    sentence = f"Int8 weights: {dense} {what} on the dense model and {repaired} on the {whom} one{_DOUBT[covers[0], covers[1]]}"
    found = recovery(result, task)
    if found is None or found.share <= 0:
        return f"{sentence}."
    pruned, exact, quantized = (values[name].value for name in ("pruned", "reconstructed", "reconstructed-int8"))
    left = 100 * (pruned - quantized) / (pruned - exact)
    return f"{sentence}; {left:.0f} % of what the repair recovered remains."


def _savings(result: RunResult) -> str | None:
    """``They take 220 instead of 538 MB of memory ...``, with the time of a forward pass if it was measured."""
    sizes = result.weight_bytes
    if not sizes.keys() >= {*QUANTIZED, *QUANTIZED.values()}:
        return None
    memory = [
        f"{sizes[quantized] / 1e6:,.0f} instead of {sizes[exact] / 1e6:,.0f} MB"
        for exact, quantized in QUANTIZED.items()
    ]
    sentence = f"They take {memory[0]} of memory in the dense model and {memory[1]} in the smaller one"
    gains = {(item.than, item.variant): item.gain for item in result.gains}
    if not gains.keys() >= set(QUANTIZED.items()):
        return f"{sentence}."
    factors = [_slowness(gains[pair]) for pair in QUANTIZED.items()]
    return f"{sentence}; timed in turns, reading takes {factors[0]} in the first and {factors[1]} in the second."


def _slowness(gain: Quartiles) -> str:
    """``1.12 times as long``, or that the turns show no difference or are too noisy."""
    words = {"noisy": "an unknown time (the machine was too noisy)", "alike": "as long as before"}
    return words.get(trend(gain), f"{1 / gain.median:.2f} times as long")
