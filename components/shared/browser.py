"""Scripts that several panels run in the visitor's browser."""

from __future__ import annotations

import gradio as gr

DOWNLOAD = """
(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  document.body.append(link);
  link.click();
  link.remove();
}
"""
"""Save the file that an event has just put into a hidden download button, so that one click makes and saves it."""

KEEP_HEIGHT = """
let width = 0, model;
const keep = () => {
  const shown = element.querySelector('[data-model]')?.dataset.model;
  if (element.offsetWidth !== width || shown !== model) element.style.minHeight = '';
  width = element.offsetWidth;
  model = shown;
  element.style.minHeight = Math.ceil(element.getBoundingClientRect().height) + 'px';
};
new ResizeObserver(keep).observe(element);
new MutationObserver(keep).observe(element, { childList: true, subtree: true });
document.fonts.addEventListener('loadingdone', () => { width = 0; keep(); });  // the font before it may be wider
"""
"""Script of an HTML component that keeps its height while it is of one ``data-model``: a forecast takes fewer lines than a
run, and the content below must not jump while the slider moves."""


def button_clicks(name: str) -> str:
    """Script of an HTML component: a click on a ``button[data-<name>]`` in it becomes a ``select`` event with ``name``."""
    return f"""
element.addEventListener('click', (event) => {{
  const button = event.target.closest('button[data-{name}]');
  if (button) trigger('select', {{ {name}: button.dataset.{name} }});
}});
"""


def figure_clicks(id: str, name: str, path: str, *plots: str, then: str = "") -> gr.HTML:
    """Hidden component: a click on a point of the ``plots`` (element ids) becomes a ``select`` event of it.

    ``path`` leads from the point's ``customdata`` to the value of ``name`` in the event; the statements ``then`` may read
    it under that name. Gradio draws every figure into a new element and forwards no event of a figure, so the script
    watches for new ones.
    """
    figures = ", ".join(f"#{plot} .js-plotly-plot" for plot in plots)
    script = f"""
const hook = () => {{
  if (!element.isConnected) return;
  for (const plot of document.querySelectorAll('{figures}')) {{
    if (!plot.on || plot.dataset.hooked) continue;
    plot.dataset.hooked = 'yes';
    plot.on('plotly_click', (event) => {{
      const {name} = event.points[0]?.customdata{path};
      if ({name} === undefined || {name} === '') return;
      {then}
      trigger('select', {{ {name} }});
    }});
  }}
}};
new MutationObserver(hook).observe(document.body, {{ childList: true, subtree: true }});
hook();
"""
    return gr.HTML("", html_template="", js_on_load=script, elem_id=id, container=False)
