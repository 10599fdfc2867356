"""Picture of the model in the simple layout, where it is the heatmap: kept units in the colour of their site's error."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.blocks import Block

from components.layers.layers import SHOW_SITE, with_site
from components.layers.maps import Mapped
from components.rail.glossary import word
from components.shared.panel import QUEUED, Updates
from components.shared.studio import Bus
from liar.explore.atlas import Atlas
from liar.explore.forecast import Forecast
from liar.explore.sizes import Sizes
from liar.report.pages.budget_bar import bar_of
from liar.report.pages.model_picture import model_picture
from liar.report.view import View
from liar.results import RunResult
from liar.sites import Site
from liar.spec import PruneSpec

_CUT, _REPAIRED = "none", "all"
"""Values of :attr:`liar.report.view.View.show` for the two states of the picture."""

_POINTED = """
let before;
const point = (event) => {
  const words = document.querySelector('#model-pointed'), site = event.target.closest?.('[data-words]');
  if (!words) return;
  before ??= words.innerHTML;
  if (site) words.textContent = site.dataset.words;
  else words.innerHTML = before;
};
element.addEventListener('pointerover', point);
element.addEventListener('pointerleave', point);
element.addEventListener('click', (event) => {
  const site = event.target.closest('[data-site]')?.dataset.site;
  if (!site) return;
  SHOW_SITE
  trigger('select', { site });
});
""".replace("SHOW_SITE", SHOW_SITE)
"""Script: the site under the pointer in words; a click selects it."""

_AT_ONCE = """(view, state) => {
  const figure = document.querySelector('figure.model');
  figure?.classList.toggle('cut', state === 'none');
  figure?.classList.toggle('repaired', state !== 'none');
  return [view, state];
}"""


class ModelPicture:
    """The picture, and the switch between the cut and the repaired model."""

    def __init__(self, bus: Bus, result: RunResult | None, atlas: Atlas | None) -> None:
        self.bus = bus
        view: View = bus.view.value
        with gr.Column(elem_id="model-card", elem_classes=["card", "simple-only"]):
            with gr.Row(elem_id="model-head"):
                gr.HTML(
                    f"<div id='model-pointed'>{word('head', 'Heads')} above, {word('neuron', 'neurons')} below; "
                    f"a column is a {word('layer')}. Hollow is gone, bright is worse.</div>"
                )
                self.state = gr.Radio(
                    [("Cut", _CUT), ("Repaired", _REPAIRED)],
                    value=_state(view),
                    label="State of the model",
                    container=False,
                    elem_id="model-state",
                    elem_classes=["segments"],
                    min_width=180,
                    scale=0,
                )
            drawn = _picture(result, atlas, view) if result else ""
            self.picture = gr.HTML(drawn, js_on_load=_POINTED, elem_id="model-picture")
            self.budget = gr.HTML(_budget(result.spec, result, atlas) if result else "", elem_id="budget")
        self.outputs: list[Block] = [self.state, self.picture, self.budget]

    def wire(self) -> None:
        self.picture.select(with_site, self.bus.view, self.bus.view, **QUEUED)
        self.state.input(_with_state, [self.bus.view, self.state], self.bus.view, js=_AT_ONCE, **QUEUED)

    def draw(self, outcome: Mapped | None, atlas: Atlas | None, view: View, spec: PruneSpec) -> Updates:
        """Show a run or a forecast of ``spec``; without one the whole model, if the ``atlas`` has it."""
        drawn = _picture(outcome, atlas, view)
        return {self.state: _state(view), self.picture: drawn, self.budget: _budget(spec, outcome, atlas)}


def _picture(outcome: Mapped | None, atlas: Atlas | None, view: View) -> str:
    whole: Sequence[Site] = [chart.site for chart in atlas.sites] if atlas else ()
    sites = outcome.sites if outcome else ()
    repair = outcome.spec.reconstruction if outcome else "none"
    return model_picture(sites, repair, whole, is_cut=_state(view) == _CUT, selected=view.site)


def _budget(spec: PruneSpec, outcome: Mapped | None, atlas: Atlas | None) -> str:
    """By what is known of the outcome; of a chain, and of a run that goes on, by the recipe."""
    if atlas is None or (outcome is None and spec.reads_dense):
        return ""
    known = outcome if isinstance(outcome, RunResult | Forecast) else None
    return bar_of(spec, Sizes.of(atlas.facts), known.sites if known else (), known.totals if known else None)


def _state(view: View) -> str:
    return _CUT if view.show == "none" else _REPAIRED


def _with_state(view: View, state: str) -> View:
    return view.changed(show=state)
