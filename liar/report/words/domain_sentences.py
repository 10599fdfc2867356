"""Sentence that sets text like the calibration text beside other text: a repair is worth less on the second."""

from __future__ import annotations

from liar.report.words.metric_sentences import beside_dense, source_words
from liar.results import Evaluation, RunResult
from liar.tasks.metrics import METRICS
from liar.tasks.mixes import sources_of


def domains(result: RunResult) -> str | None:
    """``The reconstructed model has 1.25 ± 0.03 x dense perplexity in-domain (Wikipedia leads) and 1.52 ...``.

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
