"""Simple or full: a simple page shows one slider, one button and what comes of it; the choice is remembered."""

from __future__ import annotations

import gradio as gr

from liar.view import Layout

# The style sheet hides what the layout leaves out, so switching moves nothing but classes.
_MARK = """
const mark = () => { document.body.dataset.layout = props.value; };
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


def layout_marker(layout: Layout) -> gr.HTML:
    """A component without a body that tells the style sheet which layout is on."""
    return gr.HTML(value=layout, html_template="", js_on_load=_MARK, elem_id="layout-marker", container=False)
