"""Sentences on what a run found beside its metrics, in the order in which page, report and command line show them."""

from __future__ import annotations

from liar.report.checked_sentences import checked
from liar.report.domain_sentences import domains
from liar.report.quantized_sentences import quantizations
from liar.results import RunResult


def findings(result: RunResult) -> list[str]:
    """Text in and out of the domain of the calibration text, allocations compared, and int8 weights."""
    return [sentence for sentence in (domains(result), checked(result), *quantizations(result)) if sentence]
