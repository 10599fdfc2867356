"""Gradio's Blocks for a page on the open web: input that the page itself never sends is refused in one sentence.

Gradio answers a value that a component cannot read with a traceback in the log, accepts lists for single choices,
fetches any address that a file object names, and passes event data to a handler unchecked.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.api_component import Api
from gradio.state_holder import SessionState

_REFUSED = "The page itself never sends this; set the value again, or reload the page."
_GROUPS = (gr.CheckboxGroup, Api)
"""Components whose value is a list or an object; every other control has a text, a number, a truth value or nothing."""
_NEVER_EMPTY = (gr.Radio, gr.Slider, gr.Checkbox, gr.HTML)


class Page(gr.Blocks):
    """Blocks that refuse malformed values, and all file objects, since no component of the page takes files."""

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **options: Any
    ) -> dict[str, Any]:
        event = options.get("event_data")
        if event is not None:
            event._data = event._data if isinstance(event._data, dict) else {}
            if _names_file(event._data):
                raise gr.Error(_REFUSED, print_exception=False)
        return await super().process_api(block_fn, inputs, *args, **options)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], state: SessionState | None, explicit_call: bool = False
    ) -> list[Any]:
        pairs = zip(block_fn.inputs, inputs, strict=False)  # Gradio refuses too few
        too_many = len(inputs) > len(block_fn.inputs)
        if block_fn.fn is None or too_many or any(not _readable(block, value) for block, value in pairs):
            raise gr.Error(_REFUSED, print_exception=False)
        try:
            read: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
            return read
        except Exception as error:  # each component raises errors of other types
            outside = (_outside(block, value) for block, value in zip(block_fn.inputs, inputs, strict=False))
            raise gr.Error(next(filter(None, outside), _REFUSED), print_exception=False) from error


def _readable(block: Any, value: Any) -> bool:
    """Whether ``value`` has a type that the control ``block`` sends."""
    if block.stateful:
        return True
    if isinstance(block, _GROUPS):
        return not _names_file(value)
    if value is None:
        return not isinstance(block, _NEVER_EMPTY)
    if isinstance(block, gr.Dropdown) and block.multiselect:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if isinstance(block, gr.Checkbox):
        return isinstance(value, bool)
    of_text = isinstance(block, gr.Textbox | gr.Button | gr.BrowserState | gr.HTML)
    return isinstance(value, str if of_text else str | int | float)


def _outside(block: Any, value: Any) -> str | None:
    """Sentence about a number outside the limits of its control, None for everything else."""
    if not isinstance(block, gr.Number | gr.Slider) or not isinstance(value, int | float):
        return None
    low, high = block.minimum, block.maximum
    # Neither comparison holds for NaN.
    if not ((low is not None and value < low) or (high is not None and value > high)):
        return None
    if low is not None and high is not None:
        asked = f"from {low:,} to {high:,}"
    else:
        asked = f"of at most {high:,}" if low is None else f"of at least {low:,}"
    return f"{block.label or 'This field'}: set a number {asked}, not {f'{value:,}'[:40]}."


def _names_file(value: Any) -> bool:
    """Whether ``value`` contains, at any depth, a file object, which Gradio would fetch."""
    parts = [value]
    for part in parts:  # grows inside the loop
        if isinstance(part, dict):
            if "path" in part or "meta" in part:
                return True
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return False
