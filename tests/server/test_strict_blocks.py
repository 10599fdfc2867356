"""A request that no browser of the page sends is one sentence and no traceback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from server.strict_blocks import Page


def result_of(step: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run ``step`` in a thread, since the main one may be running the event loop of a browser."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, step).result()


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


def ask(make: Any, value: Any, event: Any = None) -> list[Any]:
    """The answer of a page with one control to the value ``value`` of it."""
    with Page() as page:
        control, echo = make(), gr.Textbox()
        page.load(lambda value, state: repr(value), [control, gr.State(0)], echo)
    data = None if event is None else gr.EventData(None, event)
    step = page.process_api(page.fns[0], [value, None], SessionState(page), event_data=data)
    return list(result_of(step)["data"])


CHOICES = ["a", "b"]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: gr.Dropdown(CHOICES), "a"),
        (lambda: gr.Dropdown(CHOICES), None),
        (lambda: gr.Dropdown(CHOICES, multiselect=True), ["a", "b"]),
        (lambda: gr.Radio(CHOICES), "b"),
        (lambda: gr.CheckboxGroup(CHOICES), ["a", "b"]),
        (gr.Checkbox, True),
        (lambda: gr.Slider(0, 1), 0.5),
        (gr.Number, None),
        (gr.Textbox, "x"),
        (gr.HTML, "<p>x</p>"),
        (lambda: gr.BrowserState(""), "x"),
    ],
)
def test_a_value_of_the_control_is_accepted(make: Any, value: Any) -> None:
    assert ask(make, value) == [repr(value)]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: gr.Dropdown(CHOICES, multiselect=True), "a"),
        (lambda: gr.Dropdown(CHOICES, multiselect=True), [["a"]]),
        (lambda: gr.Dropdown(CHOICES, multiselect=True), [FILE]),
        (lambda: gr.Dropdown(CHOICES), ["a"]),
        (lambda: gr.Dropdown(CHOICES), "c"),
        (lambda: gr.Dropdown(CHOICES, allow_custom_value=True), FILE),
        (lambda: gr.Radio(CHOICES), None),
        (lambda: gr.CheckboxGroup(CHOICES), None),
        (lambda: gr.CheckboxGroup(CHOICES), [FILE]),
        (gr.Checkbox, "yes"),
        (lambda: gr.Slider(0, 1), None),
        (lambda: gr.Slider(0, 1), "x"),
        (lambda: gr.Number(precision=0), float("nan")),
        (gr.Textbox, FILE),
        (gr.Textbox, 1),
        (gr.HTML, None),
        (gr.HTML, 1),
        (lambda: gr.BrowserState(""), ["x"]),
    ],
)
def test_any_other_value_is_refused(make: Any, value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(gr.Error, match="never sends this") as refused:
        ask(make, value)
    assert not refused.value.print_exception


@pytest.mark.parametrize(
    ("make", "value", "sentence"),
    [
        (lambda: gr.Slider(0, 1, label="Ratio"), 2, "Ratio: set a number from 0 to 1, not 2."),
        (
            lambda: gr.Number(0, label="Seed", minimum=0, maximum=4096),
            -1,
            "Seed: set a number from 0 to 4,096, not -1.",
        ),
        (lambda: gr.Number(0, minimum=0), -1, "This field: set a number of at least 0, not -1."),
    ],
)
def test_a_number_outside_its_range_names_field_and_range(make: Any, value: Any, sentence: str) -> None:
    with pytest.raises(gr.Error, match=re.escape(sentence)):
        ask(make, value)


@pytest.mark.parametrize("event", [FILE, {"key": [{"deep": FILE}]}])
def test_no_event_holds_a_file(event: Any) -> None:
    with pytest.raises(gr.Error, match="never sends this"):
        ask(gr.Textbox, "x", event)


@pytest.mark.parametrize("event", ["x", 1, ["key"], {"key": "x"}])
def test_an_event_holds_names_or_nothing(event: Any) -> None:
    assert ask(gr.Textbox, "x", event) == ["'x'"]


def test_what_only_a_browser_does_is_not_asked_of_the_server() -> None:
    with Page() as page:
        box = gr.Textbox()
        box.change(None, box, box, js="x => x")
    with pytest.raises(gr.Error, match="never sends this"):
        result_of(page.process_api(page.fns[0], ["x"], SessionState(page)))


def test_no_value_is_without_its_control() -> None:
    with Page() as page:
        box, state = gr.Textbox(), gr.State()
        box.change(lambda _: "x", state, box)
    step = page.process_api(page.fns[0], [[1], [2]], SessionState(page))
    with pytest.raises(gr.Error, match="never sends this"):
        result_of(step)
