"""Edits by hand of one site: a click on a unit, and a form with a ratio of its own and units to keep or to remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr
from gradio.blocks import Block

from components.rail.recipe import edits_in
from components.shared import status
from components.shared.browser import figure_clicks
from components.shared.lookup import what_is_known
from components.shared.panel import QUEUED, UNQUEUED, Updates, states_first
from liar.edits import SiteEdit, flipped, merge, spans, written
from liar.errors import LiarError
from liar.explore.allocation import check_edits
from liar.report.view import View
from liar.results import SiteReport
from liar.spec import MAX_RATIO, PruneSpec

if TYPE_CHECKING:
    from components.shared.studio import Bus, Studio


@dataclass(frozen=True)
class Filled:
    """What the fields were filled from: the site and its ``edits``, and the ``share`` of it that the recipe removes."""

    edits: tuple[str, ...] = ()
    share: float = 0.0


@dataclass(frozen=True)
class Decision:
    """All edits of the recipe after one was decided by hand.

    A browser shows the new text of the recipe's field a little later; until then it sends one of ``replaced``.
    """

    edits: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    name: str = ""


class ByHand:
    """Edits of the selected site: what was done last, its undo, the form, and the clicks on the grid of its units.

    Each change is written into the recipe's own field of edits, so that what was typed there last counts; then ``decided``
    changes, so that the recipe is drawn by the event that draws every move, which keeps their order. ``taken`` names the last
    decision that was drawn.
    """

    def __init__(self, studio: Studio, bus: Bus) -> None:
        self.studio, self.bus = studio, bus
        self.filled = gr.State(Filled())
        self.decided, self.taken = gr.State(Decision()), gr.State("")

    def lay_out(self) -> None:
        """Add the visible parts, inside what is hidden without a site: a state in there would fire ``change`` at the start."""
        self.message = gr.HTML("", elem_id="site-edits-said")
        self.undo = gr.Button("Undo edits of this site", size="sm", visible=False, elem_id="site-undo")
        with gr.Accordion("Decide by hand", open=False, elem_id="site-edits", elem_classes=["full-only"]) as self.form:
            with gr.Row():
                self.own_ratio = gr.Checkbox(
                    label="A ratio of its own",
                    info="Else the allocation decides.",
                    container=False,
                    min_width=180,
                )
                self.ratio = gr.Slider(
                    0, MAX_RATIO, step=0.01, label="Ratio of this site", info="Share to remove.", min_width=240
                )
            with gr.Row():
                self.keep = gr.Textbox(
                    label="Units to keep", info="Counted from 0, such as 0-31,77.", max_lines=3, min_width=200
                )
                self.remove = gr.Textbox(
                    label="Units to remove", info="They go before all others.", max_lines=3, min_width=200
                )
            with gr.Row():
                self.apply = gr.Button("Apply to the recipe", variant="primary", min_width=160)
                self.keep_whole = gr.Button("Keep the whole site", min_width=160)
        self.clicks = figure_clicks("unit-clicks", "unit", "", "site-units")

    def wire(self, field: gr.Textbox) -> None:
        """Connect the parts with the recipe's ``field`` of edits."""
        where: list[Block] = [self.bus.spec, self.bus.view]
        fields: list[Block] = [self.own_ratio, self.ratio, self.keep, self.remove]
        filled: list[Block] = [*fields, self.filled, self.message, self.undo]
        gr.on(
            [self.bus.view.change, self.bus.spec.change],
            self.follow,
            [*where, self.filled, self.decided, self.taken, self.own_ratio],
            filled,
            **{**QUEUED, "concurrency_limit": 1},  # one after the other, so that each reads what the last has filled
        )
        self.ratio.input(None, None, self.own_ratio, js="() => true", **UNQUEUED)
        self.field = field
        decided = states_first([self.decided, field, *filled])
        now = [*where, self.decided, self.taken, field]
        in_turn: dict[str, Any] = {  # each starts from what the one before has decided; none is left out
            **QUEUED,
            "concurrency_limit": 1,
            "concurrency_id": "by-hand",
            "trigger_mode": "multiple",
        }
        self.apply.click(self.decide, [*now, *fields], decided, **in_turn)
        self.keep_whole.click(partial(self.decide, own_ratio=True), now, decided, **in_turn)
        self.undo.click(self.decide, now, decided, **in_turn)
        self.clicks.select(self.flip, now, decided, **in_turn)

    def follow(
        self, spec: PruneSpec, view: View, filled: Filled, decided: Decision, taken: str, own_ratio: bool
    ) -> Updates:
        """Refill the fields if the site or its edits have changed, and the ratio if what the recipe removes has.

        Everything else stays, since the visitor may be typing, or the recipe is older than what was just decided.
        """
        if decided.name != taken:
            return {self.message: gr.skip()}
        if filled.edits != _edits_of(spec, view.site):
            return self.fill(spec, view.site)
        share = self._share_lost(spec, view.site)
        if own_ratio or filled.share == share:
            return {self.message: gr.skip()}
        return {self.ratio: share, self.filled: Filled(filled.edits, share)}

    def fill(self, spec: PruneSpec, site: str) -> Updates:
        """Fill the fields from the recipe's edits."""
        try:
            edit = merge(spec.edits).get(site, SiteEdit())
        except LiarError as error:  # a link may keep and remove the same unit
            return {self.message: status.problem(str(error)), self.undo: gr.update(visible=True)}
        share = self._share_lost(spec, site)
        return {
            self.own_ratio: edit.ratio is not None,
            self.ratio: share if edit.ratio is None else edit.ratio,
            self.keep: spans(edit.keep),
            self.remove: spans(edit.remove),
            self.filled: Filled(_edits_of(spec, site), share),
            self.message: "",
            self.undo: gr.update(visible=len(_edits_of(spec, site)) > 1),
        }

    def _share_lost(self, spec: PruneSpec, site: str) -> float:
        """Share that the recipe removes from this site; it may differ from the ratio of the whole recipe."""
        report = self._known(spec, site)
        lost = spec.ratio if report is None else 1 - report.kept / report.units
        return min(round(lost, 2), MAX_RATIO)

    def _known(self, spec: PruneSpec, site: str) -> SiteReport | None:
        return next((found for found in what_is_known(self.studio, spec).sites if found.name == site), None)

    def flip(
        self, spec: PruneSpec, view: View, decided: Decision, taken: str, edits_text: str, event: gr.EventData
    ) -> Updates:
        """Keep a clicked unit that the recipe removes, or the reverse, together with those that cannot go without it."""
        unit = getattr(event, "unit", None)

        def turned(spec: PruneSpec) -> list[str] | None:
            report = self._known(spec, view.site)
            if not isinstance(unit, int) or report is None or not 0 <= unit < report.units:
                return None
            atlas = self.studio.atlases.find(spec)
            chart = atlas.site(view.site) if atlas else None
            group = chart.site.group if chart else 1
            first = unit - unit % group
            edit = merge(spec.edits).get(view.site, SiteEdit())
            return written(view.site, flipped(edit, range(first, first + group), unit in report.kept_units))

        return self._write(spec, view.site, decided, taken, edits_text, turned)

    def decide(
        self,
        spec: PruneSpec,
        view: View,
        decided: Decision,
        taken: str,
        edits_text: str,
        own_ratio: bool = False,
        ratio: float = 0.0,
        keep: str | None = None,
        remove: str | None = None,
    ) -> Updates:
        """Turn the fields into the edits of the selected site: none without fields, and a ratio of 0 keeps it whole."""
        site = view.site
        chosen = [f"{site}:ratio={ratio:g}"] if own_ratio else []
        chosen += [f"{site}:keep={keep.strip()}"] if keep and keep.strip() else []
        chosen += [f"{site}:remove={remove.strip()}"] if remove and remove.strip() else []
        return self._write(spec, site, decided, taken, edits_text, lambda _: chosen)

    def _write(
        self,
        spec: PruneSpec,
        site: str,
        decided: Decision,
        taken: str,
        edits_text: str,
        choose: Callable[[PruneSpec], list[str] | None],
    ) -> Updates:
        """Replace the site's edits by those that ``choose`` makes of the recipe, or show one sentence about why not.

        Nothing changes if ``choose`` returns None. The recipe is ``spec`` with the edits ``edits_text``, or those of the last
        decision if the text is from before it.
        """
        is_old = edits_text in decided.replaced and (decided.name != taken or spec.edits == decided.edits)
        try:
            spec = with_edits(spec, decided.edits if is_old else edits_in(edits_text))
            chosen = choose(spec)
            if chosen is None:
                return {self.message: gr.skip()}
            changed = with_edits(spec, [*(edit for edit in spec.edits if edit not in _edits_of(spec, site)), *chosen])
            merged = merge(changed.edits)
            atlas = self.studio.atlases.find(spec)
            chart = atlas.site(site) if atlas else None
            if chart and site in merged:
                check_edits({site: merged[site]}, [chart.site])
        except LiarError as error:
            return {self.message: status.problem(str(error))}
        words = f"The recipe now has: {'; '.join(chosen)}." if chosen else "The recipe decides about this site again."
        replaced = (*decided.replaced, "\n".join(decided.edits)) if is_old else (edits_text,)
        return {
            **self.fill(changed, site),
            self.field: "\n".join(changed.edits),
            self.message: status.note(words),
            self.decided: Decision(changed.edits, replaced, uuid4().hex),
        }


def _edits_of(spec: PruneSpec, site: str) -> tuple[str, ...]:
    """The site and its edits; the fields are refilled when these change."""
    return (site, *(edit for edit in spec.edits if edit.startswith(f"{site}:")))


def with_edits(spec: PruneSpec, edits: Iterable[str]) -> PruneSpec:
    return PruneSpec.create(**{**spec.model_dump(), "edits": list(edits)})
