"""A page without a browser: fires Gradio's events as Gradio's client does, and omits those that the client misses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import fastapi
import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import Block
from gradio.state_holder import SessionState

from app import build
from components.rail.recipe import default_spec
from components.shared.studio import Studio


def request(session: str = "visitor") -> Any:
    """What a handler reads of a request."""
    return SimpleNamespace(session_hash=session, client=None)


VISITOR = request()


class Page:
    """The page of a server, and those of its parts that tests use."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.blocks, self.apply, self.opening = build(studio, default_spec())
        self.explorer = explorer = self.apply.explorer
        self.line, self.bus, self.recipe, self.address = explorer.line, explorer.bus, explorer.recipe, explorer.address
        self.verdict, self.before_after, self.layers = explorer.verdict, explorer.before_after, explorer.layers
        panels: list[Any] = [*explorer.panels]
        self.accuracy, self.generations, self.tradeoff, self.runs, self.takeaway = panels
        self.provenance = explorer.provenances[0]


class Visitor:
    """A stand-in for the browser: the values of the components, and the session with its states on the server."""

    def __init__(self, blocks: gr.Blocks, query: str = "", session: str = "visitor") -> None:
        self.blocks = blocks
        scope = {"type": "http", "query_string": query.encode(), "headers": []}
        self._request = gr.Request(fastapi.Request(scope), session_hash=session)
        self._session = SessionState(blocks)
        self._values = {id: getattr(block, "value", None) for id, block in blocks.blocks.items()}
        self._props: dict[int, dict[str, Any]] = {}
        self._thread = ThreadPoolExecutor(1)  # a browser test may be running an event loop in the main thread
        self._loop = asyncio.new_event_loop()

    # -- what the page shows -----------------------------------------------------------------------------------

    def sees(self, component: Block) -> Any:
        """The value of a component."""
        return self._values[component._id]

    def prop(self, component: Block, name: str) -> Any:
        """``visible``, ``interactive`` and so on, as the page last set it."""
        return self._props.get(component._id, {}).get(name, getattr(component, name))

    def state(self, state: gr.State) -> Any:
        """Value of a state in the session of this visitor."""
        return self._session[state._id]

    def state_is(self, state: gr.State, value: Any) -> None:
        """Write a state without an event."""
        self._session[state._id] = value

    # -- what the visitor does ----------------------------------------------------------------------------------

    def holds(self, control: Block, value: Any) -> None:
        """Set the value of a control without an event."""
        self._values[control._id] = value

    def sets(self, control: Block, value: Any, event: str = "input") -> None:
        """Set the value of a control, and wait until all events that this triggers have ended."""
        self.holds(control, value)
        self.does(control, event)

    def does(self, block: Block, event: str, data: dict[str, Any] | None = None) -> None:
        """Fire an event, and wait until all events that it triggers have ended."""
        for _ in self.steps(block, event, data):
            pass

    def steps(self, block: Block, event: str, data: dict[str, Any] | None = None) -> Iterator[None]:
        """:meth:`does`, one answer of the server at a time, so that a test can check the page in between."""
        yield from self._fire(block._id, event, gr.EventData(block, data))

    def _fire(self, id: int, event: str, data: gr.EventData | None = None) -> Iterator[None]:
        for function in list(self.blocks.fns.values()):
            if (id, event) in function.targets:
                yield from self._call(function, data)

    def _call(self, function: BlockFunction, data: gr.EventData | None) -> Iterator[None]:
        if function.fn is not None:
            yield from self._answers(function, data)
        for following in self.blocks.fns.values():
            if following.trigger_after == function._id:
                yield from self._call(following, data)

    def _answers(self, function: BlockFunction, data: gr.EventData | None) -> Iterator[None]:
        inputs = [None if block.stateful else self._values[block._id] for block in function.inputs]
        iterator = None
        while True:
            step = self.blocks.process_api(
                function, inputs, self._session, self._request, iterator=iterator, event_data=data
            )
            answer = self._thread.submit(self._loop.run_until_complete, step).result()
            if iterator is not None and not answer["is_generating"]:
                return
            for block, value in zip(function.outputs, answer["data"], strict=True):
                if not block.stateful:
                    self._take(block, value)
            yield
            if function.queue is not False:  # without the queue, Gradio's client does not get the changed states
                for id in answer["changed_state_ids"]:
                    yield from self._fire(id, "change")
            if not answer["is_generating"]:
                return
            iterator = answer["iterator"]

    def _take(self, block: Block, value: Any) -> None:
        if isinstance(value, dict) and value.get("__type__") == "update":
            self._props.setdefault(block._id, {}).update(value)
            if "value" not in value:
                return
            value = value["value"]
        self._values[block._id] = value


def visit(page: Page, query: str = "", session: str = "visitor") -> Visitor:
    visitor = Visitor(page.blocks, query, session)
    visitor.does(page.blocks, "load")
    return visitor


def opened(studio: Studio, query: str = "") -> tuple[Page, Visitor]:
    page = Page(studio)
    return page, visit(page, query)
