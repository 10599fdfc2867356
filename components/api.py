"""JSON endpoints for ``gradio_client`` or curl, independent of the components of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from components.recipe import measured_on_its_task
from components.studio import Studio
from components.workers import pruning
from liar.errors import InvalidSpecError, LiarError
from liar.events import Progress
from liar.explore.forecast import forecast
from liar.spec import PruneSpec
from server.job import Snapshot
from server.rate import client_of


class Api:
    """Three endpoints. A ``recipe`` is an object with fields of :class:`liar.PruneSpec`; missing ones take defaults.

    Every expected failure is raised as :class:`gradio.Error` with one sentence.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        api(self.forecast, api_name="forecast", concurrency_limit=None)
        api(self.prune, api_name="prune", concurrency_limit=None)
        api(self.runs, api_name="runs", concurrency_limit=None)

    def forecast(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """Expected errors of every site and parameters that would be left, from a stored atlas; no model is loaded."""
        try:
            spec = self._spec(recipe)
            atlas = self.studio.atlases.find(spec)
            if atlas is None:
                raise InvalidSpecError("No curves of this model and text are at hand; use the endpoint /prune.")
            expected = forecast(spec, atlas)
        except LiarError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {
            "spec": spec.model_dump(mode="json"),
            "sites": [site.model_dump(mode="json") for site in expected.sites],
            "totals": expected.totals.model_dump(mode="json"),
        }

    def prune(self, recipe: dict[str, Any], request: gr.Request) -> Iterator[dict[str, Any]]:
        """Do a run. Yield ``state``, ``message``, ``place``, ``seconds_left``; the last ``result`` is the RunResult.

        A stored run is returned at once, and a job of the same recipe is shared. The job goes on after the client
        disconnects, so the same recipe finds it again.
        """
        try:
            spec = self._spec(recipe)
            if (stored := self.studio.store.find(spec)) is not None:
                yield _answer("done", "This run was stored.", result=stored.model_dump(mode="json"))
                return
            title = f"Applying the recipe to {spec.model}"
            job = self.studio.jobs.submit(
                str(request.session_hash),
                spec.key,
                title,
                lambda: pruning(self.studio, spec),
                client=client_of(request),
            )
        except LiarError as error:
            raise gr.Error(str(error), print_exception=False) from None
        for snapshot in self.studio.jobs.watch(job):
            if not snapshot.ended:
                yield _progress(title, snapshot)
        if snapshot.state != "done":
            raise gr.Error(snapshot.error or "The run was stopped.", print_exception=False)
        yield _answer("done", "Done.", result=snapshot.result.model_dump(mode="json"))

    def runs(self) -> list[dict[str, Any]]:
        """The newest stored runs, newest first: key, spec, totals and evaluations of each."""
        return [
            {
                "key": run.spec.key,
                "spec": run.spec.model_dump(mode="json"),
                "totals": run.totals.model_dump(mode="json"),
                "evaluations": [item.model_dump(mode="json") for item in run.evaluations],
            }
            for run in self.studio.store.summaries()
        ]

    def _spec(self, recipe: dict[str, Any]) -> PruneSpec:
        """Spec of a recipe; raises :class:`InvalidSpecError` if it is invalid or this page does not allow it."""
        if not isinstance(recipe, dict):
            raise InvalidSpecError('A recipe is a JSON object such as {"model": "demo/smollm2-135m", "ratio": 0.5}.')
        spec = PruneSpec.create(**recipe)
        self.studio.profile.check(spec)
        return measured_on_its_task(spec)


def _progress(title: str, snapshot: Snapshot) -> dict[str, Any]:
    event = snapshot.event
    message = event.message if isinstance(event, Progress) else title
    return _answer(snapshot.state, message, snapshot.place, snapshot.seconds_left)


def _answer(
    state: str, message: str, place: int = 0, seconds_left: float | None = None, result: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"state": state, "message": message, "place": place, "seconds_left": seconds_left, "result": result}
