"""Marks under the slider of the ratio: one for each measured run of the recipe, to open it."""

from __future__ import annotations

import gradio as gr

from components.shared.browser import button_clicks
from components.shared.lookup import Known
from components.shared.markup import element
from liar.report.words.metric_sentences import value_words
from liar.spec import MAX_RATIO
from liar.statistics.compare import by_task

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


def ratio_marks(known: Known) -> gr.HTML:
    """The row of marks, of :func:`marks`."""
    script = button_clicks("key") + _PLACE
    return gr.HTML(marks(known), js_on_load=script, elem_id="ratio-marks", container=False)


def marks(known: Known) -> str:
    """HTML of the ratio, the size that it leaves, and the marks: a button for each measured run of the recipe, lowest first.

    A button names the ratio and the metrics of its run; the ratio is also written on it if there is room.
    """
    buttons, named = [], -1.0
    for ratio, run in known.measured.items():
        has_room = ratio - named >= _ROOM
        named = ratio if has_room else named
        percent = f"{100 * ratio:.0f}"
        items = [items.get("reconstructed") for items in by_task(run.evaluations).values()]
        values = [f"{item.task} {value_words(item)}" for item in items if item is not None]
        title = "; ".join([f"Measured at {percent} %", *values])
        buttons.append(
            element(
                "button",
                percent if has_room else "",
                type="button",
                data_key=run.spec.key,
                style=f"--at: {ratio / MAX_RATIO:.4f}",
                title=title,
                aria_label=title,
                aria_pressed=str(ratio == known.spec.ratio).lower(),
            )
        )
    size = [element("small", f"{known.bytes_left / 1e6:,.0f} MB")] if known.bytes_left else []
    value = element("output", f"{100 * known.spec.ratio:.0f} % ", *size, id="ratio-value")
    label = "Measured ratios, in percent"
    return value + (element("div", *buttons, class_="marks", role="group", aria_label=label) if buttons else "")
