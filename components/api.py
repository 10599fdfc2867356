"""JSON endpoints for ``gradio_client`` or curl, independent of the components of the page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from inspect import Parameter, Signature, signature
from typing import Any, Literal

import gradio as gr
from gradio.events import api

from components.rail.glossary import TERMS
from components.rail.recipe import measured_on_its_task
from components.shared.job_bodies import pruning
from components.shared.studio import Studio
from liar.errors import InvalidSpecError, LiarError
from liar.explore.forecast import forecast as predicted
from liar.report.pages.html import SETTINGS
from liar.spec import ALLOCATIONS, CRITERIA, PruneSpec
from server.rate import client_of


def serve_api(studio: Studio) -> None:
    """Add three endpoints to the page, which are also the tools of an MCP server.

    The fields of :class:`liar.PruneSpec` are their parameters, each with its type, default and description.

    Every expected failure is raised as :class:`gradio.Error` with one sentence.
    """

    def checked(choices: tuple[Any, ...]) -> PruneSpec:
        """Spec of a recipe; raises :class:`InvalidSpecError` if it is invalid or this page does not allow it."""
        spec = PruneSpec.create(**dict(zip(_PARAMETERS, choices, strict=True)))
        studio.profile.check(spec)
        return measured_on_its_task(spec)

    def forecast(*choices: Any) -> dict[str, Any]:
        """Expected errors of every site and parameters that would be left, from a stored atlas; no model is loaded."""
        try:
            spec = checked(choices)
            atlas = studio.atlases.find(spec)
            if atlas is None:
                raise InvalidSpecError("No curves of this model and text are at hand; use the endpoint /prune.")
            expected = predicted(spec, atlas)
        except LiarError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {
            "spec": spec.model_dump(mode="json"),
            "sites": [site.model_dump(mode="json") for site in expected.sites],
            "totals": expected.totals.model_dump(mode="json"),
        }

    def prune(request: gr.Request, *choices: Any) -> Iterator[dict[str, Any]]:
        """Do a run. Yield ``state``, ``message``, ``place``, ``seconds_left``; the last ``result`` is the RunResult.

        A stored run is returned at once, and a job of the same recipe is shared. The job goes on after the client
        disconnects, so the same recipe finds it again.
        """
        try:
            spec = checked(choices)
            if (stored := studio.store.find(spec)) is not None:
                yield _answer("done", "This run was stored.", result=stored.model_dump(mode="json"))
                return
            title = f"Measuring {spec.model}"
            session, client = str(request.session_hash), client_of(request)
            job = studio.jobs.submit(session, spec.key, title, lambda: pruning(studio, spec), client=client)
        except LiarError as error:
            raise gr.Error(str(error), print_exception=False) from None
        for snapshot in studio.jobs.watch(job):
            if not snapshot.ended:
                message = snapshot.event.message if snapshot.event else title
                yield _answer(snapshot.state, message, snapshot.place, snapshot.seconds_left)
        if snapshot.state != "done":
            raise gr.Error(snapshot.error or "The run was stopped.", print_exception=False)
        yield _answer("done", "Done.", result=snapshot.result.model_dump(mode="json"))

    def runs() -> list[dict[str, Any]]:
        """The newest stored runs, newest first: key, spec, totals and evaluations of each."""
        shown = {"spec", "totals", "evaluations"}
        return [{"key": run.spec.key, **run.model_dump(mode="json", include=shown)} for run in studio.store.summaries()]

    for endpoint in (_described(forecast), _described(prune), runs):
        api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


def _parameter(name: str) -> Parameter:
    """A field of the spec as a parameter, with a type that Gradio can describe."""
    field = PruneSpec.model_fields[name]
    kinds: dict[str, Any] = {
        "criterion": Literal[CRITERIA],
        "allocation": Literal[ALLOCATIONS],
        "tokens": int | Literal["auto"],
        "vocabulary": str | None,
    }
    several = isinstance(field.default, tuple)
    return Parameter(
        name,
        Parameter.POSITIONAL_OR_KEYWORD,
        default=list(field.default) if several else field.default,
        annotation=list[str] if several else kinds.get(name, field.annotation),
    )


_PARAMETERS = {name: _parameter(name) for name in PruneSpec.model_fields}


def _described(function: Callable[..., Any]) -> Any:
    """``function`` with :data:`_PARAMETERS` in the place of its last one, and a line for each field in its docstring."""
    declared = signature(function, eval_str=True)
    *more, _ = declared.parameters.values()
    parameters, returned = [*more, *_PARAMETERS.values()], declared.return_annotation
    lines = [f"    {name}: {TERMS[name].help if name in TERMS else f'{SETTINGS[name]}.'}" for name in _PARAMETERS]
    described: Any = function
    described.__signature__ = Signature(parameters, return_annotation=returned)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {
        "return": returned
    }
    described.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Args:", *lines])
    return described


def _answer(
    state: str, message: str, place: int = 0, seconds_left: float | None = None, result: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"state": state, "message": message, "place": place, "seconds_left": seconds_left, "result": result}
