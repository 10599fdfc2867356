"""The Trade-off tab: runs at many ratios in one job, each drawn when it is finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.browser import button_clicks, figure_clicks
from components.shared.job_bodies import loaded_for, measured
from components.shared.job_button import RememberedJobButton
from components.shared.panel import QUEUED, UNQUEUED, Updates
from components.shared.studio import Bus, Studio
from components.takeaway.runs import Run, open_run_on
from components.tradeoff.every_criterion import EveryCriterion
from components.tradeoff.mask_table import FEW_CRITERIA, MaskTable
from components.tradeoff.tradeoff_figures import DrawnRuns, runs_in_words, sentence_of
from liar.choices import Criterion, Reconstruction
from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.report.plots.run_figures import COSTS, Cost
from liar.report.view import View
from liar.results import RunResult
from liar.spec import CRITERIA, MAX_RATIO, MAX_RATIOS, RECONSTRUCTIONS, PruneSpec, SweepSpec, ratios_between
from liar.statistics.compare import differing
from server.job import HandOut, Job, Snapshot

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
        drawn = self._draw(bus.spec.value, bus.shown.value, [])
        self.sentence = gr.HTML(drawn.sentence, elem_id="tradeoff-sentence")
        with gr.Row(elem_id="tradeoff-controls"):
            self.everything = gr.Checkbox(
                label="All runs of this model", info="Not only those like the recipe.", container=False, min_width=220
            )
            self.task = gr.Dropdown(
                drawn.tasks, value=drawn.task, label="Metric", visible=len(drawn.tasks) > 1, min_width=160
            )
            self.cost = gr.Radio(
                [(words, name) for name, words in COSTS.items()], value="parameters", label="Against", min_width=280
            )
        with gr.Row():
            self.ratio = gr.Plot(
                drawn.ratio, show_label=False, container=False, elem_id="tradeoff-ratio", min_width=300
            )
            self.pareto = gr.Plot(
                drawn.pareto, show_label=False, container=False, elem_id="tradeoff-pareto", min_width=300
            )
        self.clicks = figure_clicks("tradeoff-clicks", "key", "", "tradeoff-ratio", "tradeoff-pareto")
        self.table = gr.HTML(
            drawn.table, js_on_load=button_clicks("key"), elem_id="tradeoff-table", elem_classes=["runs-table"]
        )
        self.criteria = EveryCriterion(studio, bus)
        gr.HTML("<h3>Other ratios</h3>", elem_classes=["caption"])
        self.form = SweepForm(studio.profile.runs)
        self.work = RememberedJobButton(studio.jobs, "Run at these ratios", "tradeoff-sweep", "sweep:", pieces="runs")
        # Hidden box: writing it, from any handler, redraws the figures with the current values of the controls.
        self.redraw_key = gr.Textbox("", visible="hidden", elem_id="tradeoff-news")
        self.masks = MaskTable(studio, bus)
        self.outputs: list[Block] = [self.redraw_key]

    def show(self, result: RunResult) -> Updates:
        return {self.redraw_key: result.spec.key}

    def blank(self, spec: PruneSpec) -> Updates:
        return {self.redraw_key: spec.key}

    def wire(self) -> None:
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
            open_run_on(source.select, bus)
        self.criteria.wire()
        inputs: list[Block] = [bus.spec, *self.form.inputs]
        self.work.button.click(self.sweep, inputs, [*self.work.outputs, self.redraw_key], trigger_mode="once", **QUEUED)
        self.masks.wire()

    def resume_with(self, event: Any) -> None:
        """After ``event`` (the opening of the page), watch the jobs of this browser that have not ended."""
        self.work.resume_with(event, self._watch, [*self.work.outputs, self.redraw_key])
        self.masks.resume_with(event)

    # -- the figures --------------------------------------------------------------------------------------------

    def redraw(self, spec: PruneSpec, shown: str, everything: bool, task: str | None, cost: Cost, job: str) -> Updates:
        """Draw sentence, figures and table of the runs for the values of the controls."""
        found = self.studio.jobs.get(job)
        runs = self.studio.jobs.snapshot(found).all_of(RunResult) if found else []
        drawn = self._draw(spec, shown, runs, everything=everything, task=task, cost=cost)
        return {
            self.sentence: drawn.sentence,
            self.task: gr.update(choices=drawn.tasks, value=drawn.task, visible=len(drawn.tasks) > 1),
            self.ratio: drawn.ratio,
            self.pareto: drawn.pareto,
            self.table: drawn.table,
        }

    def refresh(self, view: View, spec: PruneSpec, drawn: str) -> Updates:
        """Redraw when this tab is opened, or while it is open a choice outside :data:`_SWEPT` changes; predict after any."""
        if view.tab != "trade-off":
            return {self.redraw_key: gr.skip()}
        picture = spec.model_copy(update=_AT_DEFAULTS).key
        return {self.redraw_key: gr.skip() if picture == drawn else picture, self.criteria.key: spec.key}

    def _draw(
        self,
        spec: PruneSpec,
        shown: str,
        handed_out: Sequence[RunResult],
        *,
        everything: bool = False,
        task: str | None = None,
        cost: Cost = "parameters",
    ) -> DrawnRuns:
        stored: list[Run] = [run for run in self.studio.store.summaries() if run.spec.model == spec.model]
        keys = {run.spec.key for run in stored}
        stored += [run for run in handed_out if run.spec.model == spec.model and run.spec.key not in keys]
        alike = [run for run in stored if set(differing([run.spec, spec])) <= _SWEPT]
        sentence = sentence_of(stored, alike, spec, everything=everything)
        return DrawnRuns(stored if everything else alike, sentence, shown, task, cost)

    # -- the sweep ----------------------------------------------------------------------------------------------

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
        try:
            sweep = SweepSpec.create(
                base=spec,
                ratios=ratios_between(first, last, int(ratios)),
                reconstructions=tuple(reconstructions) if compared == "reconstructions" else (),
                criteria=tuple(criteria) if compared == "criteria" else (),
            )
            number, most = len(sweep.specs), self.studio.profile.runs
            if number > most:
                raise InvalidSpecError(
                    f"That makes {number} runs, and {most} is the most at once here; take fewer ratios."
                )
            self.studio.profile.check(spec)
            title = f"{runs_in_words(number)} of {spec.model}"
            job = self.work.submit(request, sweep.key, title, lambda: self._sweep(sweep))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        yield from self._watch(job, request)

    def _watch(self, job: Job, request: gr.Request) -> Iterator[Updates]:
        for snapshot, line in self.work.follow(job, request):
            updates = dict(line)
            if runs := snapshot.all_of(RunResult):  # a new value, and so a redraw, only when the number changes
                updates[self.redraw_key] = f"{len(runs)} of {job.id}"
            if snapshot.ended:
                updates |= self.work.idle(self._ended(snapshot, job.title))
            yield updates

    def _sweep(self, sweep: SweepSpec) -> Iterator[Progress | HandOut[RunResult]]:
        """Sweep in the worker; every finished run is stored at once."""
        from liar.jobs.sweep import sweep_steps

        yield Progress("load", 0, len(sweep.specs), f"Loading {sweep.base.model}")
        loaded = loaded_for(self.studio, sweep.base)
        sweep = sweep.model_copy(update={"base": measured(sweep.base, loaded)})
        with closing(sweep_steps(sweep, loaded, store=self.studio.store)) as steps:
            for step in steps:
                if isinstance(step, Progress):
                    yield step
                    continue
                # A run that cannot be stored reaches the page from the job; the status line counts it as lost at the end.
                with suppress(LiarError):
                    if self.studio.store.find(step.spec) is None:
                        self.studio.store.save(step)
                yield HandOut(step)

    def _ended(self, snapshot: Snapshot, title: str) -> str:
        runs = snapshot.all_of(RunResult)
        done, keys = runs_in_words(len(runs)), {run.spec.key for run in self.studio.store.summaries()}
        lost = sum(run.spec.key not in keys for run in runs)
        unkept = f" {lost} of them could not be stored and will be gone when this page is." if lost else ""
        if snapshot.state == "failed":
            return status.problem(f"{snapshot.error} {done} done before that.{unkept}")
        return status.end(snapshot, done=f"Done: {title}.{unkept}", stopped=f"Stopped; {done} done.{unkept}")


class SweepForm:
    """Controls for the ratios and for the choices compared at each; ``runs`` is the most of a sweep."""

    def __init__(self, runs: int) -> None:
        with gr.Row(elem_id="tradeoff-form"):
            self.first = gr.Slider(0, MAX_RATIO, value=0.1, step=0.01, label="From ratio", min_width=180)
            self.last = gr.Slider(0, MAX_RATIO, value=0.7, step=0.01, label="To ratio", min_width=180)
            self.number = gr.Slider(
                1,
                min(runs, MAX_RATIOS),
                value=4,
                step=1,
                label="Number of ratios",
                info="At equal distances.",
                min_width=180,
            )
        self.compared = gr.Radio(
            [("Nothing", "nothing"), ("Reconstructions", "reconstructions"), ("Criteria", "criteria")],
            value="nothing",
            label="Compare",
            info=f"All else is as in the recipe; at most {runs} runs at once.",
        )
        self.reconstructions = gr.CheckboxGroup(
            list(RECONSTRUCTIONS), value=list(RECONSTRUCTIONS), label="Reconstructions", visible=False
        )
        self.criteria = gr.CheckboxGroup(list(CRITERIA), value=FEW_CRITERIA, label="Criteria", visible=False)
        self.compared.input(_offer, self.compared, [self.reconstructions, self.criteria], **UNQUEUED)
        ratios: list[Block] = [self.first, self.last, self.number]
        self.inputs: list[Block] = [*ratios, self.compared, self.reconstructions, self.criteria]


def _offer(compared: Compared) -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(visible=compared == "reconstructions"), gr.update(visible=compared == "criteria")
