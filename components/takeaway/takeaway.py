"""The Take away tab: the link of a run, the command and the script that repeat it, and its figures as files."""

from __future__ import annotations

from functools import partial
from typing import Literal

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.downloads import Content, Download
from components.shared.job_bodies import stored
from components.shared.panel import NO_RUN, UNQUEUED, Updates, begin_with
from components.shared.studio import Bus, Studio
from liar.errors import LiarError
from liar.report.export import as_command, as_json, as_python, program_here, sites_csv
from liar.report.pages.html import html_report
from liar.results import RunResult
from liar.spec import PruneSpec

Format = Literal["json", "csv", "html", "criteria.html"]

_WORDS: dict[Format, str] = {
    "json": "All figures (JSON)",
    "csv": "Sites (CSV)",
    "html": "Report (HTML)",
    "criteria.html": "Report, all criteria",
}
_DIFFERS = "Command, script and files are of the run shown; the recipe differs, and the link is that of the recipe."
_NO_CURVES = "No curves of this run's calibration text are at hand: press “Calibrate” for this recipe, then try again."

_LINK_BODY = """
<label for="takeaway-link">Link to what is on the screen</label>
<div class="link"><input id="takeaway-link" type="text" readonly><button type="button">Copy</button></div>
<span class="copied" role="status"></span>
"""

# The link is read from the address bar alone, and the button copies the content of the field.
_LINK = """
const part = (selector) => element.querySelector(selector);
const fill = () => {
  if (!element.isConnected) return window.removeEventListener('liar:address', fill);
  const wanted = new URLSearchParams(location.search);
  for (const name of [...wanted.keys()]) if (name.startsWith('__')) wanted.delete(name);  // Gradio's own
  const query = wanted.toString();
  part('input').value = location.origin + location.pathname + (query ? '?' + query : '');
  part('.copied').textContent = '';
};
window.addEventListener('liar:address', fill);
element.addEventListener('click', async (event) => {
  if (!event.target.closest('button')) return;
  part('input').select();
  try {
    await navigator.clipboard.writeText(part('input').value);
  } catch {
    document.execCommand('copy');  // pages without https have no clipboard
  }
  part('.copied').textContent = 'Copied.';
});
fill();
"""

# White ground and dark text even on a dark page, since the picture goes into slides and papers. Caption and file name
# come from the figure, since the page may have changed to another run or recipe.
_PICTURE = """
async () => {
  const figure = document.querySelector('#heatmap .js-plotly-plot');
  const { caption, name } = figure?.layout?.meta ?? {};
  if (!caption || !window.Plotly) return '<div role="alert" class="problem">Open the heatmap once, then try again.</div>';
  const room = 17 * caption.split('<br>').length - 8;  // above the figure there is room for half a line
  const { t, r, b, l } = figure.layout.margin;
  const height = figure._fullLayout.height + room;  // Gradio takes it from the layout that it draws
  const title = {
    text: caption, x: 0, xref: 'container', xanchor: 'left', y: 1, yref: 'container', yanchor: 'top',
    pad: { t: 14, l: 12 }, font: { size: 13 },
  };
  const ground = { paper_bgcolor: 'white', plot_bgcolor: 'white', font: { ...figure.layout.font, color: '#1e293b' } };
  const layout = { ...figure.layout, ...ground, title, margin: { t: t + room, r, b, l }, width: 960, height, autosize: false };
  await Plotly.downloadImage(
    { data: figure.data, layout }, { format: 'png', scale: 2, width: 960, height, filename: name + '-heatmap' },
  );
  return '';
}
"""


class TakeawayPanel:
    """Panel of the run shown. A file is made only when its button is pressed."""

    def __init__(self, studio: Studio, bus: Bus, result: RunResult | None) -> None:
        self.studio, self.bus = studio, bus
        # Visitors of a public page run the command on their own machine.
        self.program = program_here() if studio.profile.name == "local" else "liar"
        gr.HTML(
            "<h3>Take away</h3><p>The link opens what is on the screen, where this page runs; the command and the script "
            "do the run again anywhere.</p>",
            elem_classes=["caption"],
        )
        self.spec = gr.State(None)
        gr.HTML("", html_template=_LINK_BODY, js_on_load=_LINK, elem_id="takeaway-address")
        # Without a language, since Gradio's syntax colours are too pale on white.
        text = partial(gr.Code, lines=1, wrap_lines=True, show_line_numbers=False, interactive=False, buttons=["copy"])
        self.command = text(label="On the command line", elem_id="takeaway-command")
        self.python = text(label="In Python", elem_id="takeaway-python")
        self.buttons: dict[Format, gr.Button] = {}
        with gr.Row(elem_id="takeaway-files"):
            for ending, words in _WORDS.items():
                self.buttons[ending] = gr.Button(words, size="md", min_width=150)
            self.picture = gr.Button("Heatmap (PNG)", size="md", min_width=150)
        self.difference = gr.HTML("", elem_id="takeaway-difference")
        self.problem = gr.HTML("", elem_id="takeaway-problem")
        self.download = Download("takeaway", self.problem)
        texts: list[Block] = [self.spec, self.command, self.python, self.problem]
        self.outputs: list[Block] = [*texts, *self.buttons.values(), self.picture]
        begin_with(self.show(bus.spec.value, result) | {self.problem: ""})

    def show(self, spec: PruneSpec, run: RunResult | None) -> Updates:
        return {
            self.spec: run.spec if run else None,
            self.command: as_command(run.spec, self.program) if run else "",
            self.python: as_python(run.spec) if run else "",
            self.problem: "" if run else status.note(NO_RUN),
            **dict.fromkeys((*self.buttons.values(), self.picture), gr.update(interactive=run is not None)),
        }

    def wire(self) -> None:
        """Connect the buttons, and compare the run with the recipe when either changes."""
        for ending, button in self.buttons.items():
            self.download.wire(button, partial(self.content, ending), self.spec)
        self.picture.click(None, None, self.problem, js=_PICTURE, **UNQUEUED)
        specs: list[gr.State] = [self.bus.spec, self.spec]
        gr.on([spec.change for spec in specs], self.compare, specs, self.difference, **UNQUEUED)

    def compare(self, recipe: PruneSpec, shown: PruneSpec | None) -> str:
        """Sentence if the recipe is that of another run than the one shown, else ""."""
        if shown is None:
            return ""
        if not recipe.evaluate:  # the run then measured the task of its model
            recipe = recipe.model_copy(update={"evaluate": shown.evaluate})
        return "" if recipe == shown else status.note(_DIFFERS)

    def content(self, ending: Format, spec: PruneSpec) -> Content:
        """The run of ``spec`` in this format.

        Raises :class:`LiarError` if it is not kept any more, or its curves are not at hand for a report on all criteria.
        """
        result = stored(self.studio, spec.key)
        if ending in ("json", "csv"):
            return spec, f".{ending}", as_json(result) if ending == "json" else sites_csv(result)
        atlas, criteria = self.studio.atlases.curves_of(spec), []
        if ending == "criteria.html":
            if atlas is None:
                raise LiarError(_NO_CURVES)
            criteria = atlas.facts.criteria
        return spec, f".{ending}", html_report(result, atlas, criteria)
