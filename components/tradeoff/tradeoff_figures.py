"""Figures, table and sentence of the Trade-off tab, drawn from the runs chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from components.takeaway.runs import Run, runs_table
from liar.report.plots.recipe_lines import on_the_same_items, tasks_of
from liar.report.plots.run_figures import Cost, pareto_figure, ratio_figure
from liar.spec import PruneSpec
from liar.statistics.compare import differing
from liar.tasks.demo import PERPLEXITY

SWEPT = {"ratio", "criterion", "reconstruction", "evaluate"}
"""Choices in which the runs of one figure may differ."""


class DrawnRuns:
    """Figures, table and sentence of runs of one model: of ``everything`` that is ``stored``, else of those like ``spec``."""

    def __init__(
        self,
        stored: Sequence[Run],
        spec: PruneSpec,
        shown: str,
        everything: bool = False,
        task: str | None = None,
        cost: Cost = "parameters",
    ) -> None:
        alike = [run for run in stored if set(differing([run.spec, spec])) <= SWEPT]
        runs = stored if everything else alike
        self.tasks = tasks_of(runs)
        self.task = task if task in self.tasks else next(iter(self.tasks), None)
        chosen = self.task or PERPLEXITY.name
        drawn = on_the_same_items(runs, chosen, shown)
        self.ratio = ratio_figure(drawn, chosen, selected=shown)
        self.pareto = pareto_figure(drawn, chosen, cost, selected=shown)
        ordered = sorted(runs, key=lambda run: (run.spec.criterion, run.spec.reconstruction, run.spec.ratio))
        self.table = runs_table(ordered, shown, "The runs of the figures", wide=False) if runs else ""
        sentence = _sentence(len(stored), len(alike), spec.model, everything)
        if others := sum(any(item.task == chosen for item in run.evaluations) for run in runs) - len(drawn):
            are = "is" if others == 1 else "are"
            where = f"on other texts or lengths and {are} in the table alone"
            sentence += f" {runs_in_words(others)} of them measured {chosen} {where}."
        self.sentence = f"<p>{escape(sentence)}</p>"


def _sentence(stored: int, alike: int, model: str, everything: bool) -> str:
    """Which runs are drawn: everything that is stored of the model, else those like the recipe."""
    if not stored:
        return "No run of this model is stored yet: choose ratios below and start."
    if everything:
        return f"The one stored run of {model}." if stored == 1 else f"All {stored} stored runs of {model}."
    of_all = f"{runs_in_words(stored)} of {model} {'is' if stored == 1 else 'are'} stored"
    if not alike:
        return f"{of_all}, none like the recipe: “All runs of this model” shows them, or choose ratios below and start."
    differ = "1 run that differs" if alike == 1 else f"{alike} runs that differ"
    return f"{differ} from the recipe in no more than ratio, criterion and reconstruction; {of_all}."


def runs_in_words(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
