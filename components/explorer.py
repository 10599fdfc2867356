"""Exploring without waiting: every move of a control redraws what an atlas knows, with no forward pass and no button."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.address import query_of
from components.layers import LayersPanel
from components.panel import HEARD, Panel, Updates, blank_all, over, show_all
from components.rate import client_of
from components.recipe import Recipe, measured_on_its_task
from components.studio import Bus, Studio
from components.verdict import VerdictPanel
from components.work import loaded_for
from liar.atlas import AtlasKey
from liar.errors import LiarError
from liar.events import Event
from liar.forecast import forecast
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.view import View

_NO_ATLAS = (
    "Nothing is known of this model and text yet: “Calibrate” reads it once, and every choice then answers at once; "
    "“Apply” does the whole run."
)
_STALE = "The figures below are of the run that was shown before. Press “Apply” to measure this recipe."


class Explorer:
    """Recipe in, picture out: the stored run of a recipe where there is one, else its forecast, else what is missing."""

    def __init__(self, studio: Studio, bus: Bus, recipe: Recipe) -> None:
        self.studio, self.bus, self.recipe = studio, bus, recipe
        self.calibrate_button = gr.Button("Calibrate", visible=False, elem_id="calibrate")
        self.drawn = gr.State("")

    def wire(
        self,
        verdict: VerdictPanel,
        layers: LayersPanel,
        panels: list[Panel],
        banner: gr.HTML,
        line: gr.HTML,
        address: gr.HTML,
    ) -> None:
        """Connect the controls, once every panel exists. ``panels`` are all but ``layers``."""
        self.verdict, self.layers, self.panels = verdict, layers, panels
        self.banner, self.line, self.address = banner, line, address
        inputs: list[Block] = [self.bus.view, self.bus.shown, *self.recipe.inputs]
        moves = [*self.recipe.moves, self.drawn.change]
        gr.on(moves, self.explore, inputs, self.outputs, trigger_mode="always_last", **HEARD)
        self.bus.view.change(self.look, self.seen, self.outputs, trigger_mode="always_last", **HEARD)
        self.bus.open.change(self.open, [self.bus.open, self.bus.view, self.bus.spec], self.outputs, **HEARD)
        layers.edits.change(self.by_hand, [layers.edits, *inputs], self.outputs, **HEARD)
        told: list[Block] = [self.line, self.calibrate_button, self.drawn]
        self.calibrate_button.click(self.calibrate, self.recipe.inputs, told, **HEARD)

    @property
    def seen(self) -> list[Block]:
        """What :meth:`look` asks for."""
        return [self.bus.view, self.bus.shown, self.bus.spec]

    @property
    def outputs(self) -> list[Block]:
        shown = [component for panel in self.panels for component in panel.outputs]
        hidden = [self.bus.spec, self.bus.shown, self.banner, self.line, self.address, self.calibrate_button]
        pictures = [*self.verdict.outputs, *self.layers.outputs, self.layers.edits]
        return [*hidden, *pictures, *self.recipe.outputs, *shown]

    # -- events -------------------------------------------------------------------------------------------------

    def explore(self, view: View, shown: str, base: PruneSpec, *values: Any) -> Updates:
        """A control was moved."""
        try:
            spec = self.recipe.read(base, *values)
        except LiarError as error:
            return {self.line: status.problem(str(error))}
        return self.draw(spec, view, shown) if spec.model == base.model else self.turn(spec, view)

    def turn(self, spec: PruneSpec, view: View) -> Updates:
        """Another model: all that is shown is its own, in one answer.

        The simple layout says no more than model and ratio. What it hides may not suit another model, so there the choice
        opens the run of the model that came with the program; without one it goes back to the defaults.
        """
        if view.layout == "simple":
            own = self.studio.store.shipped_of(spec.model)
            spec = own.spec if own else measured_on_its_task(PruneSpec(model=spec.model, ratio=spec.ratio))
        return self.show_model(spec, view)

    def show_model(self, spec: PruneSpec, view: View) -> Updates:
        """A recipe of another model than that of the run shown, of which nothing stays on the page."""
        nothing: Updates = {self.bus.shown: "", **blank_all(self.panels, spec)}
        return over(nothing, {**self.draw(spec, view, ""), **self.recipe.fill(spec)})

    def by_hand(self, edits: list[str], view: View, shown: str, base: PruneSpec, *values: Any) -> Updates:
        """The inspector of a site decided something; the recipe says so."""
        try:
            spec = self.recipe.read(base, *values).model_copy(update={"edits": tuple(edits)})
        except LiarError as error:
            return {self.line: status.problem(str(error))}
        return {**self.recipe.fill(spec), **self.draw(spec, view, shown)}

    def look(self, view: View, shown: str, spec: PruneSpec) -> Updates:
        """Another tab, strip, scale or site: the recipe and the run stay."""
        updates: Updates = {self.address: query_of(spec, view)}
        atlas, result = self.studio.atlases.find(spec), self._run_of(spec)
        if result is None and atlas is None:  # the picture is still that of the run shown before
            result = self.studio.store.load(shown)
        with suppress(LiarError):  # which was said when the recipe became what it is
            updates |= self._picture(spec, view, result)
        return updates

    def open(self, key: str, view: View, spec: PruneSpec) -> Updates:
        """Another panel asks for a stored run."""
        result = self.studio.store.load(key) if key else None
        if result is None:
            words = "That run is not kept here any more." if key else ""
            return {self.line: status.problem(words) if words else gr.skip()}
        if result.spec.model != spec.model:
            return self.show_model(result.spec, view)
        return {**self.recipe.fill(result.spec), **self.draw(result.spec, view, "")}

    def draw(self, spec: PruneSpec, view: View, shown: str) -> Updates:
        """All that changes with the recipe; the other panels follow only where there is a run of it.

        ``shown`` is the key of the run that they show now.
        """
        result = self._run_of(spec)
        known = self.studio.atlases.find(spec) is not None
        updates: Updates = {
            self.bus.spec: spec,
            self.recipe.base: spec,
            self.layers.edits: list(spec.edits),
            self.address: query_of(spec, view),
            self.calibrate_button: gr.update(visible=not known),
            self.line: "" if known or result else status.note(_NO_ATLAS),
        }
        if result is not None:
            updates |= {self.banner: "", self.bus.shown: spec.key}
            if shown != spec.key:
                updates |= show_all(self.panels, result)
        elif shown:
            updates[self.banner] = status.note(_STALE)
        try:
            return updates | self._picture(spec, view, result)
        except LiarError as error:
            return {**updates, self.line: status.problem(str(error))}

    def _run_of(self, spec: PruneSpec) -> RunResult | None:
        """The stored run of a recipe, else the one that has just ended and could not be stored."""
        result, job = self.studio.store.find(spec), self.studio.jobs.find(spec.key)
        if result is not None or job is None:
            return result
        made: RunResult | None = self.studio.jobs.snapshot(job).result
        return made

    def _picture(self, spec: PruneSpec, view: View, result: RunResult | None) -> Updates:
        """Heatmap, inspector and verdict of a run, else of the forecast; nothing where neither is at hand.

        Raises what :func:`forecast` raises.
        """
        if result is not None:
            spec = result.spec
        atlas = self.studio.atlases.find(spec)
        chart = atlas.site(view.site) if atlas and view.site else None
        if result is not None:
            measured = next((site for site in result.sites if site.name == view.site), None)
            drawn = self.layers.draw(result.sites, view, chart=chart, measured=measured, spec=spec)
            return drawn | self.verdict.show(result)
        if atlas is None:
            return {}
        expected = forecast(spec, atlas)
        drawn = self.layers.draw(expected.sites, view, chart=chart, measured=None, spec=spec)
        return drawn | self.verdict.expect(expected)

    def calibrate(self, base: PruneSpec, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Draw the atlas of the recipe's calibration as a job of the one queue; then the recipe is explored anew."""
        try:
            spec = self.recipe.read(base, *values)
            key = f"atlas:{AtlasKey.of(spec).digest}"
            title = f"Calibrating {spec.model}"
            job = self.studio.jobs.submit(
                str(request.session_hash),
                key,
                title,
                lambda: self._atlas(spec),
                kind="calibrate",
                client=client_of(request),
            )
        except LiarError as error:
            yield {self.line: status.problem(str(error))}
            return
        for snapshot in self.studio.jobs.watch(job):
            if not snapshot.ended:
                yield {self.line: status.follow(title, snapshot), self.calibrate_button: gr.update(interactive=False)}
        again: Updates = {self.calibrate_button: gr.update(interactive=True)}
        if snapshot.state == "done":
            yield {**again, self.line: "", self.drawn: job.id}
        else:
            yield {**again, self.line: status.problem(snapshot.error or "The calibration was stopped.")}

    def _atlas(self, spec: PruneSpec) -> Iterator[Event]:
        from liar.draw_atlas import atlas_steps  # torch takes seconds to load

        loaded = loaded_for(self.studio, spec)
        atlas = yield from atlas_steps(loaded, spec)
        self.studio.atlases.save(atlas)
