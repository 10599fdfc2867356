"""What a metric costs: many ratios in one job, drawn as they come, and masks of one criterion under another's repair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from html import escape
from typing import TYPE_CHECKING, Any, Literal, cast

import gradio as gr
from gradio.blocks import Block

from components import status
from components.jobs import Job, JobQueue, Snapshot
from components.panel import HEARD, QUIET, Updates
from components.runs import ROWS, Run, opens, picked, runs_table
from liar.compare import differing
from liar.errors import LiarError
from liar.events import Evaluated, Progress
from liar.plots import mask_heatmap, pareto_figure, ratio_figure
from liar.plots.tradeoff import COSTS, Cost, tasks_of
from liar.results import Evaluation, RunResult
from liar.spec import CRITERIA, MAX_RATIO, RECONSTRUCTIONS, Criterion, PruneSpec, Reconstruction, Task
from liar.view import View
from liar.words import count, duration, metric_value

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.studio import Bus, Studio
    from liar.models.catalog import LoadedModel
    from liar.sweep import MaskCell, SweepSpec

Compared = Literal["nothing", "reconstructions", "criteria"]

_SWEPT = {"ratio", "criterion", "reconstruction", "evaluate"}
"""Choices in which the runs of one picture may differ."""

_AT_DEFAULTS = {name: PruneSpec.model_fields[name].default for name in _SWEPT}

_FEW_CRITERIA: list[Criterion] = ["magnitude", "wanda", "fluctuation", "obs"]

# Gradio draws every figure into an element of its own, and no event of a plot reaches it: watch for new figures.
_CLICKS = """
const hook = () => {
  if (!element.isConnected) return;
  const plots = ['#tradeoff-ratio', '#tradeoff-pareto'].map((name) => document.querySelector(name + ' .js-plotly-plot'));
  for (const plot of plots) {
    if (!plot || !plot.on || plot.dataset.hooked) continue;
    plot.dataset.hooked = 'yes';
    plot.on('plotly_click', (event) => {
      const key = event.points[0]?.customdata;
      if (key) trigger('select', { key });
    });
  }
};
new MutationObserver(hook).observe(document.body, { childList: true, subtree: true });
hook();
"""


class TradeoffPanel:
    """Figures of all runs of the recipe's model, and two jobs that add to them.

    Every finished run of a sweep is stored, so the figures are drawn from the store, and from what a job at work has
    handed out where it could not be stored.
    """

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>Trade-off</h3><p>What the metric loses as more goes, with one standard error to each side. Every point "
            "is a run of its own: click it, or choose it in the table, to open it.</p>",
            elem_classes=["caption"],
        )
        self.form = SweepForm()
        self.work = Work(studio.jobs, "Run at these ratios", "tradeoff-sweep")
        drawn = self._draw(result.spec if result else None, result.spec.key if result else "", [])
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
        self.clicks = gr.HTML("", html_template="", js_on_load=_CLICKS, elem_id="tradeoff-clicks", container=False)
        self.table = gr.HTML(drawn.table, js_on_load=ROWS, elem_id="tradeoff-table", elem_classes=["runs-table"])
        self.chosen = gr.State("")
        # A box that nobody sees: its change is heard whatever wrote it, and the figures follow with the controls as they are.
        self.news = gr.Textbox("", visible="hidden", elem_id="tradeoff-news")
        self.masks = MaskTable(studio, bus)

    @property
    def outputs(self) -> list[Block]:
        return [self.news]

    def show(self, result: RunResult) -> Updates:
        return {self.news: result.spec.key}

    def wire(self) -> None:
        bus = self.bus
        seen: list[Block] = [bus.spec, bus.shown, self.everything, self.task, self.cost, self.work.job]
        figures: list[Block] = [self.sentence, self.task, self.ratio, self.pareto, self.table]
        controls = [self.news.change, self.everything.input, self.task.input, self.cost.input]
        gr.on(controls, self.redraw, seen, figures, trigger_mode="always_last", **QUIET)
        gr.on([bus.view.change, bus.spec.change], self.look, [bus.view, bus.spec, self.news], self.news, **HEARD)
        for source in (self.table, self.clicks):
            opens(source.select, picked, None, self.chosen, bus)
        self.form.wire()
        inputs: list[Block] = [bus.spec, *self.form.inputs]
        self.work.button.click(self.sweep, inputs, [*self.work.outputs, self.news], trigger_mode="once", **HEARD)
        self.work.wire()
        self.masks.wire()

    # -- the figures --------------------------------------------------------------------------------------------

    def redraw(
        self, spec: PruneSpec | None, shown: str, everything: bool, task: Task | None, cost: Cost, job: str
    ) -> Updates:
        """Everything that is drawn of the runs, as the controls ask for it."""
        drawn = self._draw(spec, shown, self.work.handed_out(job), everything=everything, task=task, cost=cost)
        return {
            self.sentence: drawn.sentence,
            self.task: gr.update(choices=drawn.tasks, value=drawn.task, visible=len(drawn.tasks) > 1),
            self.ratio: drawn.ratio,
            self.pareto: drawn.pareto,
            self.table: drawn.table,
        }

    def look(self, view: View, spec: PruneSpec | None, news: str) -> Updates:
        """Somebody came to this tab, or changed the recipe while looking at it in more than the ratio."""
        if view.tab != "trade-off" or spec is None:
            return {self.news: gr.skip()}
        picture = spec.model_copy(update=_AT_DEFAULTS).key
        return {self.news: gr.skip() if picture == news else picture}

    def _draw(
        self,
        spec: PruneSpec | None,
        shown: str,
        handed_out: Sequence[RunResult],
        *,
        everything: bool = False,
        task: Task | None = None,
        cost: Cost = "parameters",
    ) -> _Drawn:
        stored: list[Run] = [run for run in self.studio.store.summaries() if spec and run.spec.model == spec.model]
        keys = {run.spec.key for run in stored}
        stored += [run for run in handed_out if spec and run.spec.model == spec.model and run.spec.key not in keys]
        alike = [run for run in stored if spec and set(differing([run.spec, spec])) <= _SWEPT]
        runs = stored if everything or len(alike) < 2 else alike
        return _Drawn(runs, stored, spec, shown, task, cost)

    # -- the sweep ----------------------------------------------------------------------------------------------

    def sweep(
        self,
        spec: PruneSpec | None,
        first: float,
        last: float,
        number: float,
        compared: Compared,
        reconstructions: list[Reconstruction],
        criteria: list[Criterion],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Run the recipe at every ratio as one job; the points appear as they come, and stay whatever its end."""
        yield self.work.busy("Getting ready…")
        from liar.sweep import SweepSpec, ratios_between  # loads torch

        try:
            sweep = SweepSpec.create(
                base=spec or PruneSpec(),
                ratios=ratios_between(first, last, int(number)),
                reconstructions=tuple(reconstructions) if compared == "reconstructions" else (),
                criteria=tuple(criteria) if compared == "criteria" else (),
            )
            title = f"{_runs(len(sweep.specs))} of {sweep.base.model}"
            job = self.work.submit(request, f"sweep:{sweep.key}", title, lambda: self._sweep(sweep))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        there = 0
        for snapshot, line in self.work.follow(job):
            updates = dict(line)
            if len(snapshot.partial) != there:
                there = len(snapshot.partial)
                updates[self.news] = f"{there} of {job.id}"
            if snapshot.ended:
                updates |= self.work.idle(self._ended(snapshot, title))
            yield updates

    def _sweep(self, sweep: SweepSpec) -> Iterator[Progress | RunResult]:
        """In the worker: every finished run is stored at once."""
        from liar.sweep import sweep_steps

        loaded = _load(self.studio, sweep.base)
        sweep = sweep.model_copy(update={"base": _measured(sweep.base, loaded)})
        with closing(sweep_steps(sweep, loaded, store=self.studio.store)) as steps:
            for step in steps:
                if isinstance(step, RunResult):
                    self._keep(step)
                yield step

    def _keep(self, result: RunResult) -> None:
        if self.studio.store.find(result.spec) is None:
            with suppress(LiarError):  # the page has it from the job, and says in the end that it is not stored
                self.studio.store.save(result)

    def _ended(self, snapshot: Snapshot, title: str) -> str:
        there = len(snapshot.partial)
        keys = {run.spec.key for run in self.studio.store.summaries()}
        lost = sum(run.spec.key not in keys for run in snapshot.partial)
        unkept = f" {lost} of them could not be stored and will be gone when this page is." if lost else ""
        if snapshot.state == "failed":
            return status.problem(f"{snapshot.error} {_runs(there)} done before that.{unkept}")
        if snapshot.state == "stopped":
            return status.note(f"Stopped; {_runs(there)} done.{unkept}")
        return status.note(f"Done: {title}.{unkept}")


class SweepForm:
    """Which ratios, and what is compared at each of them."""

    def __init__(self) -> None:
        with gr.Row(elem_id="tradeoff-form"):
            self.first = gr.Slider(0, MAX_RATIO, value=0.1, step=0.01, label="From ratio", min_width=180)
            self.last = gr.Slider(0, MAX_RATIO, value=0.7, step=0.01, label="To ratio", min_width=180)
            self.number = gr.Slider(
                1, 20, value=4, step=1, label="Number of ratios", info="At equal distances.", min_width=180
            )
        self.compared = gr.Radio(
            [("Nothing", "nothing"), ("Reconstructions", "reconstructions"), ("Criteria", "criteria")],
            value="nothing",
            label="Compare",
            info="All else is as the recipe says; at most 40 runs at once.",
        )
        self.reconstructions = gr.CheckboxGroup(
            list(RECONSTRUCTIONS), value=list(RECONSTRUCTIONS), label="Reconstructions", visible=False
        )
        self.criteria = gr.CheckboxGroup(list(CRITERIA), value=_FEW_CRITERIA, label="Criteria", visible=False)

    @property
    def inputs(self) -> list[Block]:
        return [self.first, self.last, self.number, self.compared, self.reconstructions, self.criteria]

    def wire(self) -> None:
        self.compared.input(_offer, self.compared, [self.reconstructions, self.criteria], **QUIET)


class Work:
    """Button, Stop and status line of one job of the queue."""

    def __init__(self, jobs: JobQueue, words: str, name: str) -> None:
        self.jobs = jobs
        with gr.Row(elem_classes=["work"]):
            self.button = gr.Button(words, variant="primary", size="md", scale=2, min_width=180, elem_id=name)
            self.stop = gr.Button("Stop", interactive=False, size="md", min_width=80, elem_id=f"{name}-stop")
        self.status = gr.HTML("", elem_id=f"{name}-status", elem_classes=["work-status"])
        self.job = gr.State("")

    @property
    def outputs(self) -> list[Block]:
        return [self.button, self.stop, self.status, self.job]

    def wire(self) -> None:
        self.stop.click(self.end, self.job, [self.stop, self.status], trigger_mode="once", **QUIET)

    def submit(self, request: gr.Request, key: str, title: str, make: Callable[[], Iterator[Any]]) -> Job:
        return self.jobs.submit(str(request.session_hash), key, title, make, kind=key.partition(":")[0])

    def follow(self, job: Job) -> Iterator[tuple[Snapshot, Updates]]:
        """Snapshots until the job has ended, with what the line says of each; the last one is the caller's to tell."""
        for snapshot in self.jobs.watch(job):
            updates = {} if snapshot.ended else {**self.busy(""), self.status: _line(job, snapshot), self.job: job.id}
            yield snapshot, updates

    def handed_out(self, id: str) -> list[RunResult]:
        """Runs of a sweep that are there."""
        job = self.jobs.get(id)
        return [item for item in self.jobs.snapshot(job).partial if isinstance(item, RunResult)] if job else []

    def end(self, id: str, request: gr.Request) -> Updates:
        """Stop was pressed; the watcher tells when the step at work has ended."""
        job = self.jobs.get(id)
        if job is not None:
            self.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False), self.status: status.running("Stopping after this step…")}

    def busy(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
            self.status: status.running(words),
        }

    def idle(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: words,
        }


class MaskTable:
    """The paper's open question: does a criterion that was made for one repair serve another?"""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        gr.HTML(
            "<h3>Masks of one criterion, repair of another</h3><p>Every criterion prunes once, at the recipe's ratio, "
            "allocation and targets; every reconstruction then repairs that same mask. All of it is read from one "
            "calibration of the dense model, one-shot.</p>",
            elem_classes=["caption"],
        )
        self.criteria = gr.CheckboxGroup(list(CRITERIA), value=_FEW_CRITERIA, label="Criteria")
        self.reconstructions = gr.CheckboxGroup(
            list(RECONSTRUCTIONS), value=list(RECONSTRUCTIONS), label="Reconstructions"
        )
        self.work = Work(studio.jobs, "Compute the table", "tradeoff-masks")
        self.words = gr.HTML("", elem_id="mask-words")
        self.plot = gr.Plot(visible=False, show_label=False, container=False, elem_id="mask-table")
        with gr.Accordion("The same as a table", open=False, visible=False) as self.twin:
            self.table = gr.HTML("", elem_classes=["runs-table"])

    def wire(self) -> None:
        inputs: list[Block] = [self.bus.spec, self.criteria, self.reconstructions]
        outputs: list[Block] = [*self.work.outputs, self.words, self.plot, self.twin, self.table]
        self.work.button.click(self.compute, inputs, outputs, trigger_mode="once", **HEARD)
        self.work.wire()

    def compute(
        self,
        spec: PruneSpec | None,
        criteria: list[Criterion],
        reconstructions: list[Reconstruction],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Fill the table cell by cell as one job."""
        if not criteria or not reconstructions:
            yield self.work.idle(status.problem("Choose at least one criterion and one reconstruction."))
            return
        chosen = spec or PruneSpec()
        rows = [name for name in CRITERIA if name in criteria]
        columns = [name for name in RECONSTRUCTIONS if name in reconstructions]
        title = f"{len(rows)} criteria under {len(columns)} reconstructions"
        key = f"masks:{chosen.key}:{','.join(rows)}:{','.join(columns)}"
        try:
            job = self.work.submit(request, key, title, lambda: self._compute(chosen, rows, columns))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        yield {**self.work.busy(f"{title}…"), self.work.job: job.id}
        there = 0
        for snapshot, line in self.work.follow(job):
            updates = dict(line)
            if len(snapshot.partial) != there:
                there = len(snapshot.partial)
                updates |= self._draw(snapshot.partial, chosen, rows, columns)
            if snapshot.ended:
                updates |= self.work.idle(_mask_end(snapshot, title))
            yield updates

    def _compute(
        self, spec: PruneSpec, criteria: Sequence[Criterion], reconstructions: Sequence[Reconstruction]
    ) -> Iterator[Progress | Evaluation | MaskCell]:
        """In the worker; the dense model's evaluation is kept like a cell."""
        from liar.sweep import mask_table_steps

        loaded = _load(self.studio, spec)
        with closing(mask_table_steps(_measured(spec, loaded), criteria, reconstructions, loaded)) as steps:
            for step in steps:
                yield step.evaluation if isinstance(step, Evaluated) else step

    def _draw(
        self,
        handed_out: Sequence[Evaluation | MaskCell],
        spec: PruneSpec,
        criteria: Sequence[Criterion],
        reconstructions: Sequence[Reconstruction],
    ) -> Updates:
        dense = next((item for item in handed_out if isinstance(item, Evaluation)), None)
        cells = [item for item in handed_out if not isinstance(item, Evaluation)]
        return {
            self.words: f"<p>{escape(_mask_words(spec, dense))}</p>",
            self.plot: gr.update(value=mask_heatmap(cells, criteria, reconstructions), visible=True),
            self.twin: gr.update(visible=True),
            self.table: _mask_twin(cells),
        }


class _Drawn:
    """Figures, table and words of some runs."""

    def __init__(
        self,
        runs: Sequence[Run],
        stored: Sequence[Run],
        spec: PruneSpec | None,
        shown: str,
        task: Task | None,
        cost: Cost,
    ) -> None:
        self.tasks = tasks_of(runs)
        self.task = task if task in self.tasks else next(iter(self.tasks), None)
        chosen = self.task or "perplexity"
        self.ratio = ratio_figure(runs, chosen, selected=shown)
        self.pareto = pareto_figure(runs, chosen, cost, selected=shown)
        ordered = sorted(runs, key=lambda run: (run.spec.criterion, run.spec.reconstruction, run.spec.ratio))
        self.table = runs_table(ordered, shown, "The runs of the figures", wide=False) if runs else ""
        self.sentence = f"<p>{escape(_sentence(runs, stored, spec))}</p>"


def _sentence(runs: Sequence[Run], stored: Sequence[Run], spec: PruneSpec | None) -> str:
    if spec is None or not stored:
        return "No run of this model is stored yet: choose the ratios above and start."
    if len(runs) == len(stored):
        return (
            f"All {len(runs)} stored runs of {spec.model}." if len(runs) > 1 else f"The one stored run of {spec.model}."
        )
    return (
        f"{len(runs)} runs that differ from the recipe in ratio, criterion and reconstruction only, of {len(stored)} "
        f"stored runs of {spec.model}."
    )


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _offer(compared: Compared) -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(visible=compared == "reconstructions"), gr.update(visible=compared == "criteria")


def _line(job: Job, snapshot: Snapshot) -> str:
    """The progress of a job that counts its own pieces."""
    event = snapshot.event
    if snapshot.state == "waiting" or not isinstance(event, Progress):
        return status.follow(job.title, snapshot)
    left = f" {duration(event.seconds_left).capitalize()} left." if event.seconds_left else ""
    done = event.done / event.total if event.done else None
    return status.running(f"{event.done} of {event.total} done. {event.message}.{left}", done)


# -- in the worker ------------------------------------------------------------------------------------------------------------


def _load(studio: Studio, spec: PruneSpec) -> LoadedModel:
    return studio.registry.get(spec.model, spec.device, spec.dtype)


def _measured(spec: PruneSpec, loaded: LoadedModel) -> PruneSpec:
    """``spec`` with the task of its model, where it names none."""
    if spec.evaluate or loaded.task is None:
        return spec
    return spec.model_copy(update={"evaluate": (loaded.task,)})


# -- the words of the table of masks ------------------------------------------------------------------------------------------


def _mask_words(spec: PruneSpec, dense: Evaluation | None) -> str:
    targets = {"ffn": "neurons", "heads": "heads", "both": "heads and neurons"}[spec.targets]
    begun = f"{spec.model}, {100 * spec.ratio:.0f} % of the {targets} removed, {spec.allocation} allocation"
    if dense is None:
        return f"{begun}."
    value, stderr = metric_value(dense.value, dense.metric), metric_value(dense.stderr, dense.metric)
    return f"{begun}. The dense model has {dense.metric} {value} ± {stderr} (one standard error, n = {count(dense.n)})."


def _mask_end(snapshot: Snapshot, title: str) -> str:
    if snapshot.state == "failed":
        return status.problem(str(snapshot.error))
    return status.note("Stopped. The cells that are there stay." if snapshot.state == "stopped" else f"Done: {title}.")


def _mask_twin(cells: Sequence[MaskCell]) -> str:
    names = ("Criterion", "Reconstruction", "Mean error of the sites", "Metric", "Standard error", "n")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{cell.criterion}</th>'
        + "".join(f"<td>{words}</td>" for words in _mask_row(cell))
        + "</tr>"
        for cell in cells
    )
    return (
        '<div class="scroll" role="region" aria-label="Masks and repairs" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _mask_row(cell: MaskCell) -> list[str]:
    known = cell.value is not None and cell.stderr is not None and cell.task is not None
    metric = "perplexity" if cell.task == "perplexity" else "accuracy"
    measured = [metric_value(cast(float, number), metric) for number in (cell.value, cell.stderr)] if known else []
    return [
        cell.reconstruction,
        f"{cell.error:.4f}",
        *(measured or ["not measured", ""]),
        f"{cell.n:,}" if cell.n else "",
    ]
