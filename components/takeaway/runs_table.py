"""Table of runs that panels share: the first cell of a row is a button that opens its run."""

from __future__ import annotations

from collections.abc import Sequence

from components.shared.markup import Markup, cell, element, row, table
from liar.report.words.metric_sentences import value_words
from liar.report.words.run_labels import run_labels
from liar.report.words.sentences import counts
from liar.results import VARIANTS, Evaluation, MeasuredVariant, RunResult
from liar.store import RunSummary
from liar.tasks.metrics import METRICS

Run = RunResult | RunSummary


def runs_table(runs: Sequence[Run], shown: str, label: str, *, wide: bool) -> str:
    """HTML table of ``runs`` whose first cells are buttons that open them; ``shown`` is the key of the run shown.

    A ``wide`` table also has the model and the time when the run was kept.
    """
    names = ("Run", *(_WIDE if wide else ()), *_NARROW)
    labels = run_labels([run.spec for run in runs])
    rows = (_row(run, name, shown, wide=wide) for run, name in zip(runs, labels, strict=True))
    return table(names, rows, label=label, caption=label)


_WIDE = ("Kept (UTC)", "Model")
_NARROW = ("Metric", "Dense", "Pruned", "Repaired", "Parameters left")


def _row(run: Run, label: str, shown: str, *, wide: bool) -> Markup:
    current = "true" if run.spec.key == shown else None
    button = element("button", label, type="button", data_key=run.spec.key, aria_current=current)
    words = [when_kept(run), run.spec.model] if wide else []
    words += [*_metrics(run), " of ".join(counts(run.totals.parameters_after, run.totals.parameters_before))]
    return row(button, *map(cell, words), aria_current=current)


def when_kept(run: Run) -> str:
    """Time at which a run was stored (UTC); "shipped" for one that comes with the program."""
    saved = run.saved if isinstance(run, RunSummary) else None
    return f"{saved:%Y-%m-%d %H:%M}" if saved else "shipped"


def _metrics(run: Run) -> list[str]:
    """Name of the metric of the first task measured, and its values for the three variants."""
    first = next(iter(run.evaluations), None)
    if first is None:
        return ["none", *("not measured" for _ in VARIANTS)]
    of_task = (item for item in run.evaluations if item.task == first.task)
    values: dict[MeasuredVariant, Evaluation] = {item.variant: item for item in of_task}
    words = [value_words(values[variant]) if variant in values else "not measured" for variant in VARIANTS]
    return [METRICS[first.metric].title_of(first.task), *words]
