"""Simple or full: a simple page shows one slider, one button and what comes of it; the choice is remembered."""

from __future__ import annotations

import gradio as gr

from liar.report.view import Layout, View

# The style sheet hides what the layout leaves out, so switching moves nothing but attributes. A figure that was hidden when
# it was drawn learns its width when the window is said to have changed.
_MARK = """
const mark = () => {
  Object.assign(document.body.dataset, props.value);
  requestAnimationFrame(() => window.dispatchEvent(new Event('resize')));
};
mark();
watch('value', mark);
"""


def layout_switch(layout: Layout) -> tuple[gr.Radio, gr.BrowserState]:
    """The control, and where the visitor's browser remembers it."""
    switch = gr.Radio(
        [("Simple", "simple"), ("Full", "full")],
        value=layout,
        label="Layout",
        container=False,
        elem_id="layout",
        min_width=180,
        scale=0,
    )
    return switch, gr.BrowserState(None, storage_key="liar-layout", secret="liar")


def layout_marker(view: View) -> gr.HTML:
    """A component without a body that tells the style sheet the layout and the tab."""
    return gr.HTML(value=mark(view), html_template="", js_on_load=_MARK, elem_id="layout-marker", container=False)


def mark(view: View) -> dict[str, str]:
    """The value of the marker for a view; the simple layout has one tab."""
    return {"layout": view.layout, "tab": view.tab if view.layout == "full" else "layers"}
