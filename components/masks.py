"""Masks of one criterion under the repairs of another, computed cell by cell as a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from gradio.blocks import Block

from components import status
from components.job import Job, Snapshot
from components.panel import HEARD, Updates
from components.work import Work, loaded_for, measured
from liar.errors import LiarError
from liar.events import Evaluated, Progress
from liar.plots import mask_heatmap
from liar.results import Evaluation
from liar.spec import CRITERIA, RECONSTRUCTIONS, Criterion, PruneSpec, Reconstruction
from liar.words import metric_value, sample

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.studio import Bus, Studio
    from liar.mask_table import MaskCell

FEW_CRITERIA: list[Criterion] = ["magnitude", "wanda", "fluctuation", "obs"]
"""Offered at first: those that ask for no backward pass."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows, columns and recipe of a table: what its job hands out first, for whoever watches it."""

    spec: PruneSpec
    criteria: list[Criterion]
    reconstructions: list[Reconstruction]


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
        self.criteria = gr.CheckboxGroup(list(CRITERIA), value=FEW_CRITERIA, label="Criteria")
        self.reconstructions = gr.CheckboxGroup(
            list(RECONSTRUCTIONS), value=list(RECONSTRUCTIONS), label="Reconstructions"
        )
        self.work = Work(studio.jobs, "Compute the table", "tradeoff-masks", "masks")
        self.words = gr.HTML("", elem_id="mask-words")
        self.plot = gr.Plot(visible=False, show_label=False, container=False, elem_id="mask-table")
        with gr.Accordion("The same as a table", open=False, visible=False) as self.twin:
            self.table = gr.HTML("", elem_classes=["runs-table"])

    def wire(self) -> None:
        inputs: list[Block] = [self.bus.spec, self.criteria, self.reconstructions]
        self.work.button.click(self.compute, inputs, self.outputs, trigger_mode="once", **HEARD)
        self.work.wire()

    def resume_with(self, event: Any) -> None:
        """After ``event`` (the opening of the page), watch the table that this browser began if it is still at work."""
        self.work.resume_with(event, self._watch, self.outputs)

    @property
    def outputs(self) -> list[Block]:
        return [*self.work.outputs, self.words, self.plot, self.twin, self.table]

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
        asked = Asked(
            spec or PruneSpec(),
            [name for name in CRITERIA if name in criteria],
            [name for name in RECONSTRUCTIONS if name in reconstructions],
        )
        rows, columns = asked.criteria, asked.reconstructions
        title = f"{len(rows)} criteria under {len(columns)} reconstructions"
        key = f"{asked.spec.key}:{','.join(rows)}:{','.join(columns)}"
        try:
            self.studio.profile.check(asked.spec)
            job = self.work.submit(request, key, title, lambda: self._compute(asked))
        except LiarError as error:
            yield self.work.idle(status.problem(str(error)))
            return
        yield from self._watch(job)

    def _watch(self, job: Job) -> Iterator[Updates]:
        there = 1  # the question alone is nothing to draw
        for snapshot, line in self.work.follow(job):
            updates = dict(line)
            if len(snapshot.partial) > there or (snapshot.ended and there > 1):
                there = len(snapshot.partial)
                updates |= self._draw(snapshot.partial)
            if snapshot.ended:
                updates |= self.work.idle(_mask_end(snapshot, job.title))
            yield updates

    def _compute(self, asked: Asked) -> Iterator[Asked | Progress | Evaluation | MaskCell]:
        """In the worker; the dense model's evaluation is kept like a cell."""
        from liar.mask_table import mask_table_steps

        yield asked
        loaded = loaded_for(self.studio, asked.spec)
        spec = measured(asked.spec, loaded)
        with closing(mask_table_steps(spec, asked.criteria, asked.reconstructions, loaded)) as steps:
            for step in steps:
                yield step.evaluation if isinstance(step, Evaluated) else step

    def _draw(self, handed_out: Sequence[Any]) -> Updates:
        asked: Asked = handed_out[0]
        dense = next((item for item in handed_out if isinstance(item, Evaluation)), None)
        cells = [item for item in handed_out[1:] if not isinstance(item, Evaluation)]
        heatmap = mask_heatmap(cells, asked.criteria, asked.reconstructions)
        return {
            self.words: f"<p>{escape(_mask_words(asked.spec, dense))}</p>",
            self.plot: gr.update(value=heatmap, visible=True),
            self.twin: gr.update(visible=True),
            self.table: _mask_twin(cells),
        }


def _mask_words(spec: PruneSpec, dense: Evaluation | None) -> str:
    targets = {"ffn": "neurons", "heads": "heads", "both": "heads and neurons"}[spec.targets]
    begun = f"{spec.model}, {100 * spec.ratio:.0f} % of the {targets} removed, {spec.allocation} allocation"
    if dense is None:
        return f"{begun}."
    value, stderr = metric_value(dense.value, dense.metric), metric_value(dense.stderr, dense.metric)
    return f"{begun}. The dense model has {dense.metric} {value} ± {stderr} (one standard error, n = {sample(dense)})."


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
