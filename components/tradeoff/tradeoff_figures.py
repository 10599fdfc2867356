"""Figures, table and sentence of the Trade-off tab, drawn from the runs chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from components.takeaway.runs import Run, runs_table
from liar.report.plots.recipe_lines import on_the_same_items, tasks_of
from liar.report.plots.run_figures import Cost, pareto_figure, ratio_figure
from liar.spec import PruneSpec
from liar.tasks.demo import PERPLEXITY


class DrawnRuns:
    """Figures, table and sentence of some runs."""

    def __init__(self, runs: Sequence[Run], sentence: str, shown: str, task: str | None, cost: Cost) -> None:
        self.tasks = tasks_of(runs)
        self.task = task if task in self.tasks else next(iter(self.tasks), None)
        chosen = self.task or PERPLEXITY.name
        drawn = on_the_same_items(runs, chosen, shown)
        others = sum(any(item.task == chosen for item in run.evaluations) for run in runs) - len(drawn)
        self.ratio = ratio_figure(drawn, chosen, selected=shown)
        self.pareto = pareto_figure(drawn, chosen, cost, selected=shown)
        ordered = sorted(runs, key=lambda run: (run.spec.criterion, run.spec.reconstruction, run.spec.ratio))
        self.table = runs_table(ordered, shown, "The runs of the figures", wide=False) if runs else ""
        self.sentence = f"<p>{escape(sentence)}{_measured_otherwise(others, chosen)}</p>"


def _measured_otherwise(number: int, task: str) -> str:
    if not number:
        return ""
    are = "is" if number == 1 else "are"
    return f" {runs_in_words(number)} of them measured {task} on other texts or lengths and {are} in the table alone."


def sentence_of(stored: Sequence[Run], alike: Sequence[Run], spec: PruneSpec, *, everything: bool) -> str:
    """Which runs are drawn: ``everything`` that is ``stored`` of the model, else those ``alike`` the recipe."""
    if not stored:
        return "No run of this model is stored yet: choose ratios below and start."
    is_one = len(stored) == 1
    if everything:
        return f"The one stored run of {spec.model}." if is_one else f"All {len(stored)} stored runs of {spec.model}."
    of_all = f"{runs_in_words(len(stored))} of {spec.model} {'is' if is_one else 'are'} stored"
    if not alike:
        return f"{of_all}, none like the recipe: “All runs of this model” shows them, or choose ratios below and start."
    differ = "1 run that differs" if len(alike) == 1 else f"{len(alike)} runs that differ"
    return f"{differ} from the recipe in no more than ratio, criterion and reconstruction; {of_all}."


def runs_in_words(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
