"""Switch of the layout: the simple page has one slider, one button and their result; the browser keeps the choice."""

from __future__ import annotations

import gradio as gr

from liar.report.view import PARTS, Layout, View

# The style sheet hides what the layout leaves out, so switching only changes attributes. At the resize event, a figure
# that was drawn while hidden takes its width.
_MARK = """
const hidden = document.head.appendChild(document.createElement('style'));
const mark = () => {
  const { hide, ...shown } = props.value;
  Object.assign(document.body.dataset, shown);
  window.dispatchEvent(new Event('liar:marked'));
  hidden.textContent = hide && `${hide} { display: none !important; }`;
  requestAnimationFrame(() => window.dispatchEvent(new Event('resize')));
};
mark();
watch('value', mark);
"""


def layout_switch(layout: Layout) -> tuple[gr.Radio, gr.BrowserState]:
    """The control, and the browser storage of its value."""
    switch = gr.Radio(
        [("Simple", "simple"), ("Full", "full")],
        value=layout,
        label="Layout",
        container=False,
        elem_id="layout",
        min_width=120,
        scale=0,
    )
    return switch, gr.BrowserState(None, storage_key="liar-layout", secret="liar")


def layout_marker(view: View) -> gr.HTML:
    """Component without a body that passes layout and tab to the style sheet."""
    return gr.HTML(value=mark(view), html_template="", js_on_load=_MARK, elem_id="layout-marker", container=False)


def mark(view: View) -> dict[str, str]:
    """Value of the marker for ``view``; the simple layout has only the tab "layers". ``hide`` is a selector."""
    hidden = ", ".join(selector(name) for name in view.hide.split(",") if name)
    return {"layout": view.layout, "tab": view.tab if view.layout == "full" else "layers", "hide": hidden}


_CARDS = {"before-after": "#before-after-card", "heatmap": "#tab-layers, #model-card"}
"""Elements of the parts of the page that have another name there; the simple layout has a picture in place of the heatmap."""


def selector(name: str) -> str:
    """Element that a link or a lesson means by ``name``: a part of the page, else a control with its help."""
    return _CARDS.get(name, f"#{name}") if name in PARTS else f".choice:has(#{name})"
