"""Live exploration: every move of a control redraws the forecast from an atlas, without a forward pass or a button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.layers.by_hand import Decision, with_edits
from components.layers.layers import LayersPanel
from components.layers.picture import ModelPicture
from components.measured.before_after import BeforeAfterPanel
from components.measured.verdict import VerdictPanel, is_of_another
from components.rail.ratio_marks import marks
from components.rail.recipe import Recipe, default_of
from components.shared import status
from components.shared.job_bodies import loading
from components.shared.job_button import JobButton, in_one_sentence
from components.shared.lookup import NO_ATLAS, Known, run_of, what_is_known
from components.shared.panel import QUEUED, UNQUEUED, Panel, Updates, over, states_first
from components.shared.provenance import provenance
from components.shared.studio import Bus, Studio
from components.takeaway.runs import picked
from liar.errors import InvalidSpecError, LiarError
from liar.events import Event
from liar.explore.atlas import AtlasKey
from liar.explore.need import Need, met_words, ratio_for, spread
from liar.explore.sizes import Sizes
from liar.report.interpolation import meet_perplexity, meet_quality, of_other_ratios
from liar.report.view import View, query_of
from liar.spec import PruneSpec
from server.job import Snapshot


class Explorer:
    """Draw the chosen recipe: its stored run, else its forecast, else a note of what is missing.

    ``line`` is the status line of the page, and the button to calibrate is on it only if that would help.
    """

    def __init__(self, studio: Studio, bus: Bus, recipe: Recipe, line: gr.HTML) -> None:
        self.studio, self.bus, self.recipe, self.line = studio, bus, recipe, line
        self.work = JobButton(studio.jobs, "Calibrate", "calibrate", "atlas:", _end, line=line)
        self.work.row.visible = False
        self.calibrated = gr.State("")
        self.drawn = gr.State(bus.view.value)
        # Inputs of `redraw`.
        self.seen: list[Block] = [bus.view, bus.shown, bus.spec]

    def wire(
        self,
        verdict: VerdictPanel,
        picture: ModelPicture,
        before_after: BeforeAfterPanel,
        layers: LayersPanel,
        panels: list[Panel],
        provenances: list[gr.HTML],
        address: gr.HTML,
    ) -> None:
        """Connect the controls, once every panel exists. ``panels`` are those that show nothing but one run, and
        ``provenances`` their lines.
        """
        self.verdict, self.before_after, self.layers, self.panels = verdict, before_after, layers, panels
        self.picture = picture
        self.provenances, self.address = provenances, address
        controls, by_hand = self.recipe.controls.values(), layers.inspector.by_hand
        moving = [*verdict.outputs, *picture.outputs, *before_after.outputs, *layers.outputs]
        # Outputs of `redraw`.
        self.pictures: list[Block] = [address, self.drawn, self.recipe.marks, *provenances, *moving]
        hidden = [self.bus.spec, self.bus.shown, by_hand.taken, self.line, self.work.row, self.recipe.need]
        shown = [component for panel in panels for component in panel.outputs]
        # The browser sets one after the other: once the headline is new, no answer fills a field in which a visitor types.
        self.outputs = states_first([*hidden, *controls, *self.pictures, *shown])
        inputs: list[Block] = [*self.seen, *controls]
        by_hand.wire(self.recipe.edits)
        moves = [*self.recipe.moves, self.calibrated.change, by_hand.decided.change]
        moved: list[Block] = [verdict.text, by_hand.decided, by_hand.taken, *inputs]
        settled: list[Block] = [verdict.text, self.drawn, *self.seen]
        for event in (
            gr.on(moves, self.explore, moved, self.outputs, trigger_mode="always_last", **QUEUED),
            self.bus.view.change(self.settle, settled, self.pictures, trigger_mode="always_last", **QUEUED),
        ):
            event.then(self.settle, settled, self.pictures, **UNQUEUED)
        self.bus.open.change(self.open, [self.bus.open, self.bus.view, self.bus.spec], self.outputs, **QUEUED)
        self.recipe.need.submit(self.meet, [self.recipe.need, *inputs], self.outputs, **QUEUED)
        calibrating: list[Block] = [*self.work.outputs, self.calibrated]
        self.work.button.click(self.calibrate, [self.bus.spec, *controls], calibrating, trigger_mode="once", **QUEUED)
        self.recipe.marks.select(picked, None, self.bus.open, **QUEUED)

    # -- events -------------------------------------------------------------------------------------------------

    def explore(
        self, headline: str, decided: Decision, taken: str, view: View, shown: str, base: PruneSpec, *values: Any
    ) -> Updates:
        """Draw the recipe of the controls after one was moved, or after an edit was ``decided`` by hand.

        If the ``headline`` is of another recipe than ``base``, another event has set ``base`` and the controls, and its
        answer was still on its way when this one was sent: its controls are those from before, so they are filled anew.
        A decision that is not drawn yet counts in any case: its text may not have reached the field of edits.
        The slider of the simple layout puts back the layers that a need took: no control there can.
        """
        is_late, is_new = is_of_another(headline, base), decided.name != taken
        if is_late and not is_new:
            return {**self.recipe.fill(base), **self.redraw(view, shown, base)}
        try:
            spec = base if is_late else self.recipe.read(base, *values)
            if is_new and spec.model == base.model:
                spec = with_edits(spec, decided.edits)
        except LiarError as error:
            return {self.line: status.problem(str(error))}
        now: Updates = {self.layers.inspector.by_hand.taken: decided.name}
        if spec.model != base.model:
            return {**now, **self.switch_model(spec, view)}
        if spec.ratio != base.ratio:
            now |= {self.recipe.need: ""}  # it is met no more
            spec = spec.model_copy(update={"layers": 0.0}) if view.layout == "simple" else spec
        controls = self.recipe.fill(spec) if is_late else self.recipe.settled(base, spec)
        return {**now, **controls, **self.draw(spec, view, shown)}

    def switch_model(self, spec: PruneSpec, view: View) -> Updates:
        """Switch the whole page to another model, in one answer.

        The simple layout shows only model, ratio and criterion, and its hidden choices may not suit the new model. There the
        model's shipped run opens; without one, the hidden choices return to their defaults.
        """
        if view.layout == "simple":
            own = self.studio.store.shipped_of(spec.model)
            spec = own.spec if own else default_of(spec.model).model_copy(update={"ratio": spec.ratio})
        return self.show_model(spec, view)

    def show_model(self, spec: PruneSpec, view: View) -> Updates:
        """Draw a recipe of another model than the run shown, and remove that run from the page."""
        nothing: Updates = {self.bus.shown: ""}
        for panel in self.panels:
            nothing |= panel.show(spec, None)
        return over(nothing, {**self.draw(spec, view, ""), **self.recipe.fill(spec)})

    def meet(self, need: str, view: View, shown: str, base: PruneSpec, *values: Any) -> Updates:
        """Set the ratio that meets a need typed in words, and draw the recipe; no model is loaded."""
        try:
            spec, asked = self.recipe.read(base, *values), Need.read(need)
            spec = spec.model_copy(update={"layers": 0.0}) if view.layout == "simple" else spec
            atlas, runs = self.studio.atlases.find(spec), of_other_ratios(spec, self.studio.store.summaries())
            if asked.kind == "quality":
                ratio, words = meet_quality(asked.amount, spec, runs)
            elif atlas is None:
                raise InvalidSpecError(NO_ATLAS)
            elif asked.kind == "loss":
                ratio, words = meet_perplexity(asked.amount, spec, atlas, runs)
            elif spec.vocabulary is not None:
                raise InvalidSpecError(
                    "Here the tokens that go are not counted before they are known; set the ratio, or ask on the command line."
                )
            else:
                sizes = Sizes.of(atlas.facts)
                spec = spread(asked, spec, sizes) if view.layout == "simple" else spec
                ratio = ratio_for(asked, spec, sizes)
                words = met_words(asked, spec.at(ratio), sizes)
        except LiarError as error:
            return {self.line: status.problem(str(error))}
        spec = spec.at(ratio)
        drawn = self.draw(spec, view, shown)
        line = drawn[self.line] if spec.reads_dense else ""  # the headline says what is not known of a chain
        return {**self.recipe.fill(spec), **drawn, self.line: line or status.note(words)}

    def redraw(self, view: View, shown: str, spec: PruneSpec) -> Updates:
        """Redraw for another tab, strip, scale or site; the recipe and the run stay."""
        return {self.address: query_of(spec, view), **self._picture(what_is_known(self.studio, spec), view, shown)}

    def settle(self, headline: str, drawn: View, view: View, shown: str, spec: PruneSpec) -> Updates:
        """Redraw if what the page shows is of an earlier recipe or view.

        Moves and views are answered side by side, so the answer to the earlier of two events may be the last one. A view
        that changed with the recipe is drawn by the answer that changed both.
        """
        if is_of_another(headline, spec) or drawn != view:
            return self.redraw(view, shown, spec)
        return {self.address: gr.skip()}

    def open(self, opened: tuple[str, str], view: View, spec: PruneSpec) -> Updates:
        """Show a stored run that another panel has opened."""
        result = self.studio.store.load(opened[0])
        if result is None:
            return {self.line: status.problem("That run is not kept here any more.") if opened[0] else gr.skip()}
        return self.show(result.spec, view, spec)

    def show(self, spec: PruneSpec, view: View, before: PruneSpec, shown: str = "") -> Updates:
        """Show a recipe in the controls, which held the recipe ``before``, and its run in every panel.

        If it has no run, that of the key ``shown`` stays.
        """
        if spec.model != before.model:
            return self.show_model(spec, view)
        return {**self.recipe.fill(spec), **self.draw(spec, view, shown)}

    def draw(self, spec: PruneSpec, view: View, shown: str) -> Updates:
        """Everything that changes with the recipe; the other panels change only if there is a run of it.

        ``shown`` is the key of the run that they show now.
        """
        known = what_is_known(self.studio, spec)
        spec = known.spec
        updates: Updates = {
            self.bus.spec: spec,
            self.address: query_of(spec, view),
            self.work.row: gr.update(visible=known.atlas is None),
            self.line: _line(known),
        }
        if known.run is not None:
            updates[self.bus.shown] = spec.key
            if shown != spec.key:
                for panel in self.panels:
                    updates |= panel.show(spec, known.run)
            shown = spec.key
        return updates | self._picture(known, view, shown)

    def _picture(self, known: Known, view: View, shown: str) -> Updates:
        """Verdict, bars, heatmap, inspector and provenance lines, all in one answer so that they agree on the recipe.

        If nothing is known of the recipe, the heatmap is that of the run in the panels, and its heading names that run.
        """
        run = known.run or (run_of(self.studio, shown) if shown else None)
        updates = {**self.verdict.show(known), self.recipe.marks: marks(known), self.drawn: view}
        updates |= self.before_after.show(known, run)
        updates |= dict.fromkeys(self.provenances, provenance(known.spec, shown, run))
        outcome = known.run or known.pruned or known.expected
        updates |= self.picture.draw(outcome, known.atlas, view, known.spec)
        if outcome is not None:
            origin = known.origin if outcome is known.expected else "Measured"
            return updates | self.layers.draw(outcome, view, known.atlas, origin, known.spec)
        if run is None:
            return updates | self.layers.clear()
        return updates | self.layers.draw(run, view, self.studio.atlases.find(run.spec), "Measured", known.spec)

    @in_one_sentence
    def calibrate(self, base: PruneSpec, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Draw the atlas of the recipe's calibration as a job of the queue, then draw the recipe again."""
        spec = self.recipe.read(base, *values)

        def show(snapshot: Snapshot) -> Updates:
            return {self.calibrated: snapshot.id} if snapshot.state == "done" else {}

        key, title = AtlasKey.of(spec).digest, f"Calibrating {spec.model}"
        yield from self.work.run(request, key, title, lambda: self._atlas(spec), show)

    def _atlas(self, spec: PruneSpec) -> Iterator[Event]:
        from liar.jobs.draw_atlas import atlas_steps  # torch takes seconds to load

        loaded = yield from loading(self.studio, spec)
        atlas = yield from atlas_steps(loaded, spec)
        self.studio.atlases.save(atlas)


def _end(snapshot: Snapshot) -> str:
    return "" if snapshot.state == "done" else status.end(snapshot, done="", stopped="The calibration was stopped.")


def _line(known: Known) -> str:
    """What is missing: a note if calibrating or applying provides it, a problem if another choice is needed."""
    if not known.missing:
        return ""
    can_be_made = known.atlas is None or not known.spec.reads_dense
    return status.note(known.missing) if can_be_made else status.problem(known.missing)
