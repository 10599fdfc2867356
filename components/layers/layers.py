"""The Layers tab: the error of every site as a heatmap and as a table, and the inspector of one site."""

from __future__ import annotations

from html import escape
from textwrap import wrap

import gradio as gr
from gradio.blocks import Block

from components.layers.inspector import Inspector
from components.layers.maps import Mapped, map_of
from components.rail.glossary import PICTURE
from components.shared.browser import button_clicks, figure_clicks
from components.shared.panel import QUEUED, Updates, begin_with
from components.shared.provenance import Origin, of_another, pill
from components.shared.studio import Bus, Studio
from liar.explore.atlas import Atlas
from liar.report.export import file_stem
from liar.report.pages.svg import block_picture
from liar.report.view import DIFFERENCES, View
from liar.report.words.sentences import recipe
from liar.results import RunResult
from liar.spec import RECONSTRUCTIONS, PruneSpec

_LINE = 112
"""Characters in a line of a picture 960 pixels wide, in any font that a browser uses for pictures."""

SHOW_SITE = """
const began = performance.now();
const show = () => {
  const words = document.querySelector('#site-words [data-site]');
  if (words?.dataset.site !== site || !document.querySelector('#site .js-plotly-plot')) {
    if (performance.now() - began < 5000) requestAnimationFrame(show);
    return;
  }
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (words.getBoundingClientRect().top < 0.7 * innerHeight) return;
  words.scrollIntoView({ block: 'center', behavior: calm ? 'auto' : 'smooth' });
};
if (document.querySelector('#site-words [data-site]')?.dataset.site !== site) show();
"""
"""Script: after a click on a cell, scroll to its site, which is drawn below the heatmap, unless it is in sight."""

SHOWN = [
    ("all", "all"),
    *((name, name) for name in RECONSTRUCTIONS),
    *((f"difference of {first} and {second}", name) for name, (first, second) in DIFFERENCES.items()),
]


class LayersPanel:
    """Heatmap of layer x site, the same as a table, and the inspector of the selected site.

    The controls and clicks write ``bus.view`` only, and edits by hand the field of the recipe; the explorer listens to both.
    """

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.bus = bus
        view: View = bus.view.value
        self.heading = gr.HTML(_heading(None, None), elem_id="heatmap-heading", elem_classes=["caption"])
        gr.HTML(PICTURE.markup(shown=PICTURE.question), elem_classes=["term-holder"])
        self.block = gr.HTML(block_picture([]), elem_id="block-picture")
        with gr.Row(elem_id="heatmap-controls", elem_classes=["full-only"]) as self.controls:
            self.show_control = gr.Dropdown(SHOWN, value=view.show, label="Show", filterable=False, min_width=300)
            self.scale = gr.Radio(["log", "linear"], value=view.scale, label="Colour scale", min_width=160)
            self.weighting = gr.Radio(
                ["plain", "norm-aware"],
                value=view.weighting,
                label="Tokens weigh",
                info="Norm-aware: by 1 / |h|² of the residual stream.",
                min_width=220,
            )
            self.fit = gr.Checkbox(
                view.colours == "fit",
                label="Fit",
                info="Colours to the errors shown, not one scale for all.",
                container=False,
                min_width=160,
                elem_id="heatmap-fit",
            )
        self.sentence = gr.HTML("", elem_id="stands-out")
        self.plot = gr.Plot(show_label=False, container=False, elem_id="heatmap")
        self.clicks = figure_clicks("heatmap-clicks", "site", "?.[1]", "heatmap", then=SHOW_SITE)
        with gr.Accordion(map_of(None).twin, open=False) as self.accordion:
            self.table = gr.HTML("", js_on_load=button_clicks("site"), elem_id="heatmap-table")
        self.inspector = Inspector(studio, bus)
        self._controls = self.show_control, self.scale, self.weighting, self.fit
        above: list[Block] = [self.heading, self.block, self.controls, *self._controls, self.sentence]
        self.outputs: list[Block] = [*above, self.plot, self.accordion, self.table, *self.inspector.outputs]
        if result is not None:
            begin_with(self.draw(result, view, None, "Measured", result.spec))

    def wire(self) -> None:
        bus = self.bus
        for control in self._controls:
            control.input(_with_controls, [bus.view, *self._controls], bus.view, **QUEUED)
        for source in (self.clicks, self.table):
            source.select(with_site, bus.view, bus.view, **QUEUED)

    def draw(self, outcome: Mapped, view: View, atlas: Atlas | None, origin: Origin, chosen: PruneSpec) -> Updates:
        """Show a run or a forecast, fast enough for every move of a slider.

        ``atlas`` is that of the outcome's calibration, None if none was drawn. If the outcome is not of the ``chosen``
        recipe, the heading has a note.
        """
        sites, spec = outcome.sites, outcome.spec
        drawn = map_of(spec)
        return {
            self.heading: _heading(spec, origin, chosen),
            self.block: block_picture(sites),
            self.controls: gr.update(visible=drawn.has_controls),
            self.accordion: gr.update(label=drawn.twin),
            self.show_control: view.show,
            self.scale: view.scale,
            self.weighting: view.weighting,
            self.fit: view.colours == "fit",
            self.sentence: f"<p>{escape(drawn.sentence(sites, view, spec))}</p>",
            self.plot: drawn.picture(outcome, view, _about(spec, origin)),
            self.table: drawn.table(outcome, view),
            **self.inspector.draw(outcome, view, atlas, origin),
        }

    def clear(self) -> Updates:
        """Remove all figures, because there are none of the chosen recipe and no run is shown."""
        return {
            self.heading: _heading(None, None),
            self.block: block_picture([]),
            self.sentence: "",
            self.plot: None,
            self.table: "",
            **self.inspector.clear(),
        }


# -- events ---------------------------------------------------------------------------------------------------------------


def _with_controls(view: View, show: str, scale: str, weighting: str, fit: bool) -> View:
    """The view with the values of the controls."""
    return view.changed(show=show, scale=scale, weighting=weighting, colours="fit" if fit else "same")


def with_site(view: View, event: gr.EventData) -> View:
    """The view with the clicked site, or without a site if it was selected already."""
    site = getattr(event, "site", "")
    return view.changed(site="" if site == view.site else site)


# -- markup ---------------------------------------------------------------------------------------------------------------


def _heading(spec: PruneSpec | None, origin: Origin | None, chosen: PruneSpec | None = None) -> str:
    """Title of the card, with the recipe of its heatmap; ``spec`` is None while there is no heatmap."""
    stale = spec is not None and chosen is not None and spec.key != chosen.key
    keys = (f' data-recipe="{spec.key}"' if spec else "") + (f' data-chosen="{chosen.key}"' if stale and chosen else "")
    drawn = map_of(spec)
    return (
        f"<div{keys}><h3>{drawn.title}{f' {pill(origin)}' if origin else ''}</h3>"
        + (of_another(spec) if stale and spec else "")
        + f"<p>{drawn.explained(spec)}</p></div>"
    )


def _about(spec: PruneSpec, origin: Origin) -> dict[str, str]:
    """Labels for a picture of the heatmap: key of its recipe, caption, and the beginning of its file name."""
    words = wrap(f"{origin}: {recipe(spec)}", _LINE, break_long_words=True)
    return {"recipe": spec.key, "caption": "<br>".join(map(escape, words)), "name": file_stem(spec)}
