"""Objects that all panels share: the services of the server, and the components that connect the panels of a page."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from liar.explore.atlas_store import AtlasStore
from liar.report.view import View
from liar.spec import PruneSpec
from liar.store import RunStore
from server.job_queue import JobQueue
from server.model_registry import ModelRegistry
from server.profile import Profile


@dataclass(frozen=True)
class Studio:
    """Services of the server, one object for all pages."""

    store: RunStore
    atlases: AtlasStore
    registry: ModelRegistry
    jobs: JobQueue
    profile: Profile


class Bus:
    """Hidden components of one page that a panel writes and others listen to.

    ``spec`` holds the current recipe (a PruneSpec), ``view`` the current view with the selected site (a View), ``shown``
    the key of the run that the panels show ("" for none). Writing a run's key to ``open``, with a name of the click, opens it
    in every panel.
    """

    def __init__(self, spec: PruneSpec, view: View, shown: str) -> None:
        self.spec = gr.State(spec)
        self.view = gr.State(view)
        self.shown = gr.State(shown)
        self.open = gr.State(("", ""))
