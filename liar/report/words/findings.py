"""Sentences on what a run found beside its metrics, in the order in which page, report and command line show them."""

from __future__ import annotations

from liar.report.words.domain_sentences import domains
from liar.report.words.layer_sentences import removal
from liar.report.words.quantized_sentences import quantizations
from liar.results import RunResult


def findings(result: RunResult) -> list[str]:
    """Layers removed, text in and out of the domain of the calibration text, the last norm, and int8
    weights.
    """
    found = (removal(result), domains(result), attenuated(result), *quantizations(result))
    return [sentence for sentence in found if sentence]


def attenuated(result: RunResult) -> str | None:
    """``The gain of the last norm is 0.93 times the dense one ...``; None if the run left it as it was."""
    if result.attenuation is None:
        return None
    return (
        f"The gain of the last norm is {result.attenuation:.2f} times the dense one, so that the answers are as much less "
        "sure as the noise that remains asks for."
    )
