"""Every criterion over the ratio, predicted from the curves: redrawn with every move, without a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.lookup import NO_ATLAS
from components.shared.markup import cell, row, table
from components.shared.panel import QUEUED, Updates
from components.shared.studio import Bus, Studio
from liar.errors import InvalidSpecError, LiarError
from liar.explore.forecast import RATIOS, Loss, every_criterion
from liar.report.plots.recipe_lines import QUANTITIES, Quantity, every_criterion_figure, values_of
from liar.report.view import View
from liar.report.words.sentences import choice
from liar.report.words.site_sentences import error_words
from liar.spec import PruneSpec

Losses = Mapping[str, Mapping[float, Loss]]


class EveryCriterion:
    """Figure of the recipe under every criterion, and a table of what is predicted at its ratio, best first."""

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        self._curves = lru_cache(maxsize=16)(self._read)
        gr.HTML(
            "<h3>Every criterion, predicted</h3><p>Read from the curves of the dense model, without a run: the recipe's "
            "allocation and repair, but the units chosen by each criterion. The dashed line is the recipe's ratio. A "
            "prediction takes each site by itself, so a run may rank them otherwise.</p>",
            elem_classes=["caption"],
        )
        self.quantity = gr.Radio(
            [("Divergence", "divergence"), ("Mean error", "error")],
            value="divergence",
            label="Predict",
            info="How far the outputs move from the dense model's, by the sensitivities, or the mean error of the sites.",
        )
        self.words = gr.HTML("", elem_id="criteria-words")
        self.plot = gr.Plot(visible=False, show_label=False, container=False, elem_id="criteria-ratio")
        self.table = gr.HTML("", elem_id="criteria-table", elem_classes=["runs-table"])
        # Hidden box: the key of the recipe to draw, written by the tab while it is open.
        self.key = gr.Textbox("", visible="hidden", elem_id="criteria-key")
        self.outputs: list[Block] = [self.words, self.plot, self.table]

    def wire(self) -> None:
        bus = self.bus
        gr.on(
            [self.key.change, self.quantity.input],
            self.draw,
            [bus.view, bus.spec, self.quantity],
            self.outputs,
            trigger_mode="always_last",
            **{**QUEUED, "concurrency_limit": 2},  # a hundred allocations, unless the curves are there
        )

    def draw(self, view: View, spec: PruneSpec, quantity: Quantity) -> Updates:
        """Draw the recipe while this tab is open; one sentence if there are no curves for it."""
        if view.tab != "trade-off":
            return {self.words: gr.skip()}
        try:
            found = self._curves(spec.model_copy(update=_ANY))
            here = self._read(spec, (spec.ratio,))
        except LiarError as error:
            return {self.words: status.note(str(error)), self.plot: gr.update(visible=False), self.table: ""}
        known = any(values_of(losses, "divergence") for losses in found.values())
        figure = every_criterion_figure(found, quantity if known else "error", spec.criterion, spec.ratio)
        unknown = status.note("No divergence is predicted for this model; this is the mean error.")
        return {
            self.words: "" if known else unknown,
            self.plot: gr.update(value=figure, visible=True),
            self.table: _table(here, spec),
        }

    def _read(self, spec: PruneSpec, ratios: tuple[float, ...] = RATIOS) -> Losses:
        atlas = self.studio.atlases.find(spec)
        if atlas is None:
            raise InvalidSpecError(NO_ATLAS)
        return every_criterion(spec, atlas, ratios)


_ANY = {"criterion": "kfac", "ratio": 0.5}
"""Choices that the curves do not depend on."""


def _table(found: Losses, spec: PruneSpec) -> str:
    """What is predicted of each criterion at the recipe's ratio, best first; empty if that leaves a site without units."""
    columns: dict[str, dict[str, float]] = {}
    for name, title in QUANTITIES.items():
        here = {criterion: values_of(losses, name).get(spec.ratio) for criterion, losses in found.items()}
        if known := {criterion: value for criterion, value in here.items() if value is not None}:
            columns[title[:1].upper() + title[1:]] = known
    if not columns:
        return ""
    rows = (
        row(
            criterion,
            *(cell(error_words(values[criterion])) for values in columns.values()),
            class_="chosen" if criterion == spec.criterion else None,
        )
        for criterion in sorted(found, key=next(iter(columns.values())).__getitem__)
    )
    recipe = ", ".join(choice(spec, name) for name in ("model", "targets", "allocation", "reconstruction"))
    return table(("Criterion", *columns), rows, caption=f"Predicted at {spec.ratio:.0%} removed, best first ({recipe})")
