"""Provenance of a panel's figures: the recipe they are of, and whether they were measured or predicted.

The markup has the recipe's key in ``data-recipe``, so that a test can compare it with the figures below.
"""

from __future__ import annotations

from html import escape
from typing import Literal

from liar.report.words.metric_sentences import percent
from liar.report.words.sentences import recipe
from liar.results import RunResult
from liar.spec import PruneSpec

Origin = Literal["Measured", "Predicted", "Interpolated"]


def pill(origin: Origin) -> str:
    return f'<span class="kind {origin.lower()}">{origin}</span>'


def of_another(shown: PruneSpec | None) -> str:
    """Note in a panel that still shows the run of another recipe; ``shown`` is None if that run is deleted."""
    which = recipe(shown).rstrip(".") if shown else "its run is not kept here any more"
    simple = f"These answers are of {percent(shown.ratio)}." if shown else "These answers are of another run."
    return (
        f'<p class="stale"><span class="simple-only">{simple}</span><span class="full-only">Still the run of another recipe '
        f"({escape(which)}). Press “Measure it” to measure the chosen one.</span></p>"
    )


def provenance(chosen: PruneSpec, shown: str, run: RunResult | None) -> str:
    """Line above a panel whose figures change only with a run; it has no words while they are of the ``chosen`` recipe.

    ``shown`` is the key of the run in the panel, "" if there is none; ``run`` is that run, None if it is deleted.
    """
    if not shown:
        return ""
    if shown == chosen.key:
        return f'<div data-recipe="{shown}"></div>'
    stale = of_another(run.spec if run else None)
    return f'<div data-recipe="{shown}" data-chosen="{chosen.key}">{stale}</div>'
