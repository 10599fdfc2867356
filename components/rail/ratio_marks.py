"""Marks under the slider of the ratio: one for each measured run of the recipe, to open it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import gradio as gr

from components.shared.browser import button_clicks
from components.shared.panel import Updates
from components.shared.studio import Bus
from components.takeaway.runs import open_run_on
from liar.report.words.metric_sentences import measured_tasks, value_words
from liar.spec import MAX_RATIO, PruneSpec
from liar.store import RunSummary

_ROOM = 0.08
"""Difference of two ratios at which both can be written without touching."""

# Gradio puts a number at each end of the track, so its place is known in the browser alone.
_PLACE = """
let observed;
const place = () => {
  const track = document.querySelector('#ratio input[type=range]');
  if (!track) return;
  if (track !== observed) resized.observe(observed = track);  // its numbers can change width while the row does not
  const {left, width} = track.getBoundingClientRect();
  if (!width) return;
  element.style.setProperty('--track-left', `${left - element.getBoundingClientRect().left}px`);
  element.style.setProperty('--track-width', `${width}px`);
};
const resized = new ResizeObserver(place);
resized.observe(element);
new MutationObserver(place).observe(element.closest('#recipe'), {childList: true, subtree: true});  // the slider can come later
"""


class RatioMarks:
    """The row of marks; ``measured`` holds the runs of the recipe by their ratio, lowest first."""

    def __init__(self, spec: PruneSpec, measured: Mapping[float, RunSummary]) -> None:
        self.row = gr.HTML(
            _markup(spec, measured), js_on_load=button_clicks("key") + _PLACE, elem_id="ratio-marks", container=False
        )

    def wire(self, bus: Bus) -> None:
        open_run_on(self.row.select, bus)

    def show(self, spec: PruneSpec, measured: Mapping[float, RunSummary]) -> Updates:
        return {self.row: _markup(spec, measured)}


def _markup(spec: PruneSpec, measured: Mapping[float, RunSummary]) -> str:
    if not measured:
        return ""
    buttons, named = "", -1.0
    for ratio, run in measured.items():
        has_room = ratio - named >= _ROOM
        named = ratio if has_room else named
        buttons += _mark(run, is_chosen=ratio == spec.ratio, is_named=has_room)
    return f'<div class="marks" role="group" aria-label="Measured ratios, in percent">{buttons}</div>'


def _mark(run: RunSummary, *, is_chosen: bool, is_named: bool) -> str:
    """Button that names the ratio and the metrics of its run; the ratio is also written on it if ``is_named``."""
    values = [
        f"{item.task} {value_words(item)}"
        for task in measured_tasks(run)
        for item in run.evaluations
        if (item.task, item.variant) == (task, "reconstructed")
    ]
    percent = f"{100 * run.spec.ratio:.0f}"
    title = escape("; ".join([f"Measured at {percent} %", *values]), quote=True)
    return (
        f'<button type="button" data-key="{run.spec.key}" style="--at: {run.spec.ratio / MAX_RATIO:.4f}" '
        f'title="{title}" aria-label="{title}" aria-pressed="{str(is_chosen).lower()}">{percent if is_named else ""}</button>'
    )
