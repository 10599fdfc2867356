"""The panel of generated answers with the services of a server, and tiny models that answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import gradio as gr
import torch

from components.measured.generations import GenerationsPanel
from components.shared.panel import Updates
from liar.models.loaded import LoadedModel
from liar.models.variants import Variants
from liar.results import RunResult
from liar.store import RunStore
from server.job_queue import JobQueue
from server.model_registry import ModelRegistry
from server.profile import LOCAL, Profile
from tests import tiny
from tests.components.visitor import VISITOR


@dataclass
class Page:
    """The panel with the services of a server."""

    store: RunStore
    registry: ModelRegistry = field(default_factory=lambda: ModelRegistry(10**9, lambda *_: tiny.language_model()))
    jobs: JobQueue = field(default_factory=JobQueue)
    panel: GenerationsPanel = field(init=False)
    profile: Profile = LOCAL

    def build(self, result: RunResult | None) -> GenerationsPanel:
        with gr.Blocks():
            bus: Any = SimpleNamespace(shown=gr.State(result.spec.key if result else ""))
            self.panel = GenerationsPanel(self, bus, result)  # type: ignore[arg-type]
            self.panel.wire()
        return self.panel

    def ask(
        self, run: RunResult, prompt: str = "a b c", tokens: Any = 8, temperature: Any = 0, seed: Any = 0
    ) -> list[Updates]:
        return list(self.panel.ask(run.spec.key, prompt, tokens, temperature, seed, VISITOR))

    def line(self, updates: Updates) -> str:
        return str(updates.get(self.panel.work.status, ""))


def three(make: Callable[[], LoadedModel] = tiny.language_model) -> Variants:
    """A dense model, and a pruned one with changed weights and hence other answers."""
    dense, pruned = make(), make()
    torch.manual_seed(1)
    for parameter in pruned.model.parameters():
        parameter.add_(torch.randn_like(parameter))
    return Variants(pruned, dense)
