"""The job: from the button to the last figure. One generator carries the pipeline's events to the components."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components import status
from components.panel import Panel, Updates, show_all
from components.recipe import Recipe
from components.registry import ModelRegistry
from liar.errors import InvalidSpecError, LiarError
from liar.events import Event, Finished
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import RunStore

log = logging.getLogger(__name__)

_accelerator = Lock()
"""Held by the one run at work. The queue lets the next run start as soon as Stop is pressed, which may be before the
stopped one has come to the end of its step."""


class Job:
    """Button, Stop and status line around one run; what was shown before stays until a result takes its place."""

    def __init__(self, recipe: Recipe, store: RunStore, registry: ModelRegistry) -> None:
        self.recipe, self.store, self.registry = recipe, store, registry
        with gr.Row():
            self.button = gr.Button("Prune and repair", variant="primary", scale=3, min_width=160, elem_id="run")
            self.stop = gr.Button("Stop", interactive=False, scale=1, min_width=80, elem_id="stop")
        self.status = gr.HTML("", elem_id="status")

    def wire(self, panels: list[Panel], address: Block) -> None:
        """Connect the buttons, once every panel exists."""
        self.panels, self.address = panels, address
        line: list[Block] = [self.button, self.stop, self.status]
        shown = [component for panel in self.panels for component in panel.outputs]
        begun = self.button.click(self.begin, None, line, queue=False, show_progress="hidden", api_visibility="private")
        running = begun.then(
            self.go,
            self.recipe.inputs,
            [*line, *shown, self.recipe.base, address],
            concurrency_id="accelerator",
            concurrency_limit=1,
            show_progress="hidden",
            api_name="prune",
        )
        self.stop.click(
            self.stopped, None, line, cancels=[running], queue=False, show_progress="hidden", api_visibility="private"
        )

    def begin(self) -> Updates:
        """Said at once, before the queue is asked: the click was heard."""
        return self._busy(status.running("Waiting for a free place…"))

    def stopped(self) -> Updates:
        return self._idle(status.note("Stopped. What you see is the run before."))

    def go(self, *values: Any) -> Iterator[Updates]:
        """Do the run that the controls say; every expected failure ends in one sentence on the page."""
        try:
            spec, prompts = self.recipe.read(*values)
            with _turn():
                yield self._busy(status.running(f"Loading {spec.model}. The first time may take a while."))
                result: RunResult | None = None
                with closing(self._events(spec, prompts)) as events:
                    for event in events:
                        if isinstance(event, Finished):
                            result = event.result
                        elif words := status.describe(event):
                            yield {self.status: words}
            if result is not None:
                yield self._finish(result)
        except LiarError as error:
            yield self._idle(status.problem(str(error)))
        except Exception as error:
            log.exception("A run failed in a way that LIAR does not know")
            yield self._idle(status.problem(f"The run failed unexpectedly ({error}); the log of the server has more."))

    def _events(self, spec: PruneSpec, prompts: list[str]) -> Generator[Event, None, None]:
        # Both load torch, which takes seconds: the first run pays, not the first paint.
        from liar.models.offload import is_offloaded
        from liar.pipeline import stream

        loaded = self.registry.get(spec.model, spec.device, spec.dtype)
        if not spec.evaluate:
            spec = spec.model_copy(update={"evaluate": (loaded.task,) if loaded.task else ()})
        # A streamed model is too large to be copied: the run loads its own.
        yield from stream(spec, None if is_offloaded(loaded.model) else loaded, prompts=prompts)

    def _finish(self, result: RunResult) -> Updates:
        words = status.note("Done. The address of this page now holds this run.")
        try:
            self.store.save(result)
        except LiarError as error:
            words = status.problem(str(error))
        return {
            **self._idle(words),
            **show_all(self.panels, result),
            self.recipe.base: result.spec,
            self.address: result.spec.to_query(),
        }

    def _busy(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
            self.status: words,
        }

    def _idle(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: words,
        }


@contextmanager
def _turn() -> Iterator[None]:
    """One run at a time, and nothing of it left in memory afterwards."""
    if not _accelerator.acquire(timeout=120):
        raise InvalidSpecError("The run before is still ending; try again in a moment.")
    try:
        yield
    finally:
        _accelerator.release()
        gc.collect()
