"""The Trade-off tab: runs at many ratios in one job, each drawn when it is finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from html import escape
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.browser import button_clicks, figure_clicks
from components.shared.job_bodies import loading, measured
from components.shared.job_button import JobButton, in_one_sentence
from components.shared.panel import QUEUED, UNQUEUED, Updates, begin_with
from components.shared.studio import Bus, Studio
from components.takeaway.runs import picked, runs_table
from components.tradeoff.every_criterion import EveryCriterion
from components.tradeoff.mask_table import FEW_CRITERIA, MaskTable
from liar.choices import Criterion, Reconstruction
from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.report.plots.recipe_lines import on_the_same_items, tasks_of
from liar.report.plots.run_figures import COSTS, Cost, pareto_figure, ratio_figure
from liar.report.view import View
from liar.report.words.metric_sentences import Run
from liar.results import RunResult
from liar.spec import CRITERIA, MAX_RATIO, MAX_RATIOS, RECONSTRUCTIONS, PruneSpec, SweepSpec, ratios_between
from liar.statistics.compare import differing
from liar.tasks.demo import PERPLEXITY
from server.job import Snapshot

Compared = Literal["nothing", "reconstructions", "criteria"]

_SWEPT = {"ratio", "criterion", "reconstruction", "evaluate"}
"""Choices in which the runs of one figure may differ."""

_AT_DEFAULTS = {name: PruneSpec.model_fields[name].default for name in _SWEPT}


class TradeoffPanel:
    """Figures of all runs of the recipe's model, :class:`EveryCriterion`, a sweep that adds runs, and the :class:`MaskTable`.

    Every finished run of a sweep is stored, so the figures are drawn from the store, and from those runs of the current
    job that could not be stored.
    """

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>Trade-off</h3><p>What the metric loses as more goes, with one standard error to each side. Every point "
            "is a run of its own: click it, or choose it in the table, to open it.</p>",
            elem_classes=["caption"],
        )
        self.sentence = gr.HTML("", elem_id="tradeoff-sentence")
        with gr.Row(elem_id="tradeoff-controls"):
            self.everything = gr.Checkbox(
                label="All runs of this model", info="Not only those like the recipe.", container=False, min_width=220
            )
            self.task = gr.Dropdown(label="Metric", min_width=160)
            self.cost = gr.Radio(
                [(words, name) for name, words in COSTS.items()], value="parameters", label="Against", min_width=280
            )
        plot = partial(gr.Plot, show_label=False, container=False, min_width=300)
        with gr.Row():
            self.ratio = plot(elem_id="tradeoff-ratio")
            self.pareto = plot(elem_id="tradeoff-pareto")
        self.clicks = figure_clicks("tradeoff-clicks", "key", "", "tradeoff-ratio", "tradeoff-pareto")
        self.table = gr.HTML("", js_on_load=button_clicks("key"), elem_id="tradeoff-table", elem_classes=["runs-table"])
        self.criteria = EveryCriterion(studio, bus)
        gr.HTML("<h3>Other ratios</h3>", elem_classes=["caption"])
        self.form = _sweep_form(studio.profile.runs)
        self.work = JobButton(
            studio.jobs, "Run at these ratios", "tradeoff-sweep", "sweep:", self._end, pieces="runs", remembered=True
        )
        # Hidden box: writing it, from any handler, redraws the figures with the current values of the controls.
        self.redraw_key = gr.Textbox("", visible="hidden", elem_id="tradeoff-news")
        self.masks = MaskTable(studio, bus)
        self.outputs: list[Block] = [self.redraw_key]
        begin_with(self.redraw(bus.spec.value, bus.shown.value, False, None, "parameters", ""))

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        return {self.redraw_key: spec.key}

    def wire(self, opened: Any) -> None:
        """Connect the parts; after ``opened`` (the opening of the page), watch the jobs of this browser that go on."""
        bus = self.bus
        seen: list[Block] = [bus.spec, bus.shown, self.everything, self.task, self.cost, self.work.job]
        figures: list[Block] = [self.sentence, self.task, self.ratio, self.pareto, self.table]
        controls = [self.redraw_key.change, self.everything.input, self.task.input, self.cost.input]
        gr.on(controls, self.redraw, seen, figures, trigger_mode="always_last", **UNQUEUED)
        gr.on(
            [bus.view.change, bus.spec.change],
            self.refresh,
            [bus.view, bus.spec, self.redraw_key],
            [self.redraw_key, self.criteria.key],
            **QUEUED,
        )
        for source in (self.table, self.clicks):
            source.select(picked, None, bus.open, **QUEUED)
        self.criteria.wire()
        inputs: list[Block] = [bus.spec, *self.form]
        working: list[Block] = [*self.work.outputs, self.redraw_key]
        self.work.button.click(self.sweep, inputs, working, trigger_mode="once", **QUEUED)
        self.work.resume_with(opened, working, self._show)
        self.masks.wire(opened)

    # -- the figures --------------------------------------------------------------------------------------------

    def redraw(self, spec: PruneSpec, shown: str, everything: bool, task: str | None, cost: Cost, job: str) -> Updates:
        """Draw sentence, figures and table for the values of the controls: of all runs of the model, or of those like ``spec``.

        The runs are the stored ones, and those of the ``job`` that could not be stored.
        """
        kept, found = self.studio.store.summaries(), self.studio.jobs.get(job)
        keys = {run.spec.key for run in kept}
        handed_out = found.facts.all_of(RunResult) if found else []
        all_runs: list[Run] = [*kept, *(run for run in handed_out if run.spec.key not in keys)]
        of_model = [run for run in all_runs if run.spec.model == spec.model]
        alike = [run for run in of_model if set(differing([run.spec, spec])) <= _SWEPT]
        runs = of_model if everything else alike
        tasks = tasks_of(runs)
        named = task if task in tasks else next(iter(tasks), None)
        chosen = named or PERPLEXITY.name
        drawn = on_the_same_items(runs, chosen, shown)
        sentence = _sentence(len(of_model), len(alike), spec.model, everything)
        if others := sum(any(item.task == chosen for item in run.evaluations) for run in runs) - len(drawn):
            are = "is" if others == 1 else "are"
            where = f"on other texts or lengths and {are} in the table alone"
            sentence += f" {_runs_in_words(others)} of them measured {chosen} {where}."
        ordered = sorted(runs, key=lambda run: (run.spec.criterion, run.spec.reconstruction, run.spec.ratio))
        return {
            self.sentence: f"<p>{escape(sentence)}</p>",
            self.task: gr.update(choices=[(name, name) for name in tasks], value=named, visible=len(tasks) > 1),
            self.ratio: ratio_figure(drawn, chosen, selected=shown),
            self.pareto: pareto_figure(drawn, chosen, cost, selected=shown),
            self.table: runs_table(ordered, shown, "The runs of the figures", wide=False) if runs else "",
        }

    def refresh(self, view: View, spec: PruneSpec, drawn: str) -> Updates:
        """Redraw when this tab is opened, or while it is open a choice outside :data:`_SWEPT` changes; predict after any."""
        if view.tab != "trade-off":
            return {self.redraw_key: gr.skip()}
        picture = spec.model_copy(update=_AT_DEFAULTS).key
        return {self.redraw_key: gr.skip() if picture == drawn else picture, self.criteria.key: spec.key}

    # -- the sweep ----------------------------------------------------------------------------------------------

    @in_one_sentence
    def sweep(
        self,
        spec: PruneSpec,
        first: float,
        last: float,
        ratios: float,
        compared: Compared,
        reconstructions: list[Reconstruction],
        criteria: list[Criterion],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Run the recipe at every ratio as one job; each finished run is drawn, and stays however the job ends."""
        sweep = SweepSpec.create(
            base=spec,
            ratios=ratios_between(first, last, int(ratios)),
            reconstructions=tuple(reconstructions) if compared == "reconstructions" else (),
            criteria=tuple(criteria) if compared == "criteria" else (),
        )
        number, most = len(sweep.specs), self.studio.profile.runs
        if number > most:
            raise InvalidSpecError(f"That makes {number} runs, and {most} is the most at once here; take fewer ratios.")
        self.studio.profile.check(spec)
        title = f"{_runs_in_words(number)} of {spec.model}"
        yield from self.work.run(request, sweep.key, title, lambda: self._sweep(sweep), self._show)

    def _show(self, snapshot: Snapshot) -> Updates:
        """Redraw the figures: the value is a new one, and so takes effect, only when the number of runs changes."""
        runs = snapshot.all_of(RunResult)
        return {self.redraw_key: f"{len(runs)} of {snapshot.id}"} if runs else {}

    def _sweep(self, sweep: SweepSpec) -> Iterator[Progress | RunResult]:
        """Sweep in the worker; every finished run is stored at once."""
        from liar.jobs.sweep import sweep_steps

        loaded = yield from loading(self.studio, sweep.base, pieces=len(sweep.specs))
        sweep = sweep.model_copy(update={"base": measured(sweep.base, loaded)})
        with closing(sweep_steps(sweep, loaded, store=self.studio.store)) as steps:
            for step in steps:
                # A run that cannot be stored reaches the page from the job; the status line counts it as lost at the end.
                with suppress(LiarError):
                    if isinstance(step, RunResult) and self.studio.store.find(step.spec) is None:
                        self.studio.store.save(step)
                yield step

    def _end(self, snapshot: Snapshot) -> str:
        runs = snapshot.all_of(RunResult)
        done, keys = _runs_in_words(len(runs)), {run.spec.key for run in self.studio.store.summaries()}
        lost = sum(run.spec.key not in keys for run in runs)
        unkept = f" {lost} of them could not be stored and will be gone when this page is." if lost else ""
        if snapshot.state == "failed":
            return status.problem(f"{snapshot.error} {done} done before that.{unkept}")
        return status.end(snapshot, done=f"Done: {snapshot.title}.{unkept}", stopped=f"Stopped; {done} done.{unkept}")


def _sweep_form(runs: int) -> list[Block]:
    """Controls for the ratios and for the choices compared at each; ``runs`` is the most of a sweep."""
    slider = partial(gr.Slider, min_width=180)
    with gr.Row(elem_id="tradeoff-form"):
        first = slider(0, MAX_RATIO, value=0.1, step=0.01, label="From ratio")
        last = slider(0, MAX_RATIO, value=0.7, step=0.01, label="To ratio")
        most = min(runs, MAX_RATIOS)
        number = slider(1, most, value=4, step=1, label="Number of ratios", info="At equal distances.")
    compared = gr.Radio(
        [("Nothing", "nothing"), ("Reconstructions", "reconstructions"), ("Criteria", "criteria")],
        value="nothing",
        label="Compare",
        info=f"All else is as in the recipe; at most {runs} runs at once.",
    )
    every = list(RECONSTRUCTIONS)
    reconstructions = gr.CheckboxGroup(every, value=every, label="Reconstructions", visible=False)
    criteria = gr.CheckboxGroup(list(CRITERIA), value=FEW_CRITERIA, label="Criteria", visible=False)
    compared.input(_offer, compared, [reconstructions, criteria], **UNQUEUED)
    return [first, last, number, compared, reconstructions, criteria]


def _offer(compared: Compared) -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(visible=compared == "reconstructions"), gr.update(visible=compared == "criteria")


def _sentence(stored: int, alike: int, model: str, everything: bool) -> str:
    """Which runs are drawn: everything that is stored of the model, else those like the recipe."""
    if not stored:
        return "No run of this model is stored yet: choose ratios below and start."
    if everything:
        return f"The one stored run of {model}." if stored == 1 else f"All {stored} stored runs of {model}."
    of_all = f"{_runs_in_words(stored)} of {model} {'is' if stored == 1 else 'are'} stored"
    if not alike:
        return f"{of_all}, none like the recipe: “All runs of this model” shows them, or choose ratios below and start."
    differ = "1 run that differs" if alike == 1 else f"{alike} runs that differ"
    return f"{differ} from the recipe in no more than ratio, criterion and reconstruction; {of_all}."


def _runs_in_words(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
