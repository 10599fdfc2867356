"""A job of a panel: button, Stop and status line, and what its worker begins with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr
from gradio.blocks import Block

from components import status
from components.known import Pruned
from components.panel import HEARD, QUIET, Updates
from components.prompts import preset_prompts
from liar.errors import InvalidSpecError, LiarError
from liar.events import Event, Finished, Progress, SiteDone
from liar.results import RunResult, SiteReport
from liar.spec import PruneSpec
from server.job import Job, Snapshot
from server.job_queue import JobQueue
from server.rate import client_of

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.studio import Studio
    from liar.jobs.plan import Shape
    from liar.models.catalog import LoadedModel
    from liar.models.memory import Work as ModelWork
    from liar.models.variants import Variants

E = TypeVar("E")
T = TypeVar("T")

Watch = Callable[[Job, gr.Request], Iterator[Updates]]
"""How a panel shows a job, from now to its end."""


class Work:
    """Button, Stop and status line of one job of the queue, which the visitor's browser remembers by its id.

    ``kind`` tells its jobs from those of other buttons; ``pieces`` is what such a job counts ("runs"), if anything.
    """

    def __init__(self, jobs: JobQueue, words: str, name: str, kind: str, pieces: str = "") -> None:
        self.jobs, self.kind, self.pieces = jobs, kind, pieces
        with gr.Row(elem_classes=["work"]):
            self.button = gr.Button(words, variant="primary", size="md", scale=2, min_width=180, elem_id=name)
            self.stop = gr.Button("Stop", interactive=False, size="md", min_width=80, elem_id=f"{name}-stop")
        self.status = gr.HTML("", elem_id=f"{name}-status", elem_classes=["work-status"])
        self.job = gr.State("")
        self.remembered = gr.BrowserState("", storage_key=f"liar-{name}")

    @property
    def outputs(self) -> list[Block]:
        return [self.button, self.stop, self.status, self.job, self.remembered]

    def wire(self) -> None:
        self.stop.click(self.end, self.job, self.stop, trigger_mode="once", **QUIET)

    def key_of(self, key: str) -> str:
        """The key under which the queue knows the job about ``key``."""
        return f"{self.kind}:{key}"

    def submit(self, request: gr.Request, key: str, title: str, make: Callable[[], Iterator[Any]]) -> Job:
        return self.jobs.submit(
            str(request.session_hash), self.key_of(key), title, make, kind=self.kind, client=client_of(request)
        )

    def resume_with(self, event: Any, watch: Watch, outputs: list[Block]) -> None:
        """After ``event`` (the opening of the page), ``watch`` the job that this browser began if it is still at work."""

        def resume(id: str | None, request: gr.Request) -> Iterator[Updates]:
            yield from self.resume(watch, id, request)

        event.then(resume, self.remembered, outputs, **HEARD)

    def resume(self, watch: Watch, id: str | None, request: gr.Request) -> Iterator[Updates]:
        """``watch`` the job ``id``, which a browser remembered, for a page that was loaded anew; nothing when it has ended."""
        job = self.jobs.get(id or "")
        if job is None or job.kind != self.kind or not self.jobs.join(job, str(request.session_hash)):
            yield {self.status: gr.skip()}
        else:
            yield from watch(job, request)

    def follow(self, job: Job, request: gr.Request) -> Iterator[tuple[Snapshot, Updates]]:
        """Snapshots until the job has ended, at least for the visitor of ``request``, with what the line says of each.

        The last one is the caller's to tell.
        """
        # All of the line each time: of two messages that arrive together, Gradio's page hears only the last.
        line: Updates = {**self.busy(""), self.job: job.id, self.remembered: job.id}
        for snapshot in self.jobs.watch(job, session=str(request.session_hash)):
            words = status.follow(job.title, snapshot, self.pieces)
            still: Updates = {self.status: words, self.stop: gr.update(interactive=not snapshot.stopping)}
            yield snapshot, {} if snapshot.ended else {**line, **still}

    def handed_out(self, id: str) -> list[RunResult]:
        """Runs of a sweep that are there."""
        job = self.jobs.get(id)
        return [item for item in self.jobs.snapshot(job).partial if isinstance(item, RunResult)] if job else []

    def end(self, id: str, request: gr.Request) -> Updates:
        """Stop was pressed. The line is the watcher's alone: its last words may reach the page before this answer."""
        job = self.jobs.get(id)
        if job is not None:
            self.jobs.stop(job, str(request.session_hash))
        return {self.stop: gr.update(interactive=False)}

    def busy(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
            self.status: status.running(words),
        }

    def idle(self, words: str) -> Updates:
        return {
            self.button: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
            self.status: words,
        }


def pruning(studio: Studio, asked: PruneSpec) -> Iterator[Event | Pruned]:
    """In the worker: the run with everything that the page shows of it. Its result is stored even if nobody watches.

    The measured sites are handed out, as those of the recipe that was ``asked`` for, when the last one is done: the heatmap
    need not wait for the metrics.
    """
    # Both load torch, which takes seconds; a page that only explores does without.
    from liar.jobs.pipeline import stream
    from liar.models.memory import Work as ModelWork
    from liar.models.offload import is_offloaded

    yield Progress("load", 0, 1, f"Loading {asked.model}")
    loaded = loaded_for(studio, asked, ModelWork.of(asked))
    spec = measured(asked, loaded)
    prompts = prompts_for(spec, loaded)
    reports: list[SiteReport] = []
    earlier = studio.store.like(spec)
    # A streamed model is too large to be copied: the run loads its own.
    given = None if is_offloaded(loaded.model) else loaded
    for event in stream(spec, given, prompts=prompts, earlier=earlier):
        if isinstance(event, Finished):
            with suppress(LiarError):  # whoever does watch tries again, and says why it cannot be kept
                studio.store.save(event.result)
        yield event
        if isinstance(event, SiteDone):
            reports.append(event.report)
            if event.done == event.total:
                yield Pruned(asked, reports)


def stored(studio: Studio, key: str) -> RunResult:
    """The run that is shown; raises :class:`InvalidSpecError` when there is none, or it is not kept any more."""
    if not key:
        raise InvalidSpecError("No run of this recipe is shown yet: press “Apply” first.")
    result = studio.store.load(key)
    if result is None:
        raise InvalidSpecError("The run shown is not kept here any more: press “Apply” to do it again.")
    return result


def with_models(
    studio: Studio,
    result: RunResult,
    then: Callable[[Variants], Generator[E, None, T]],
    cost: Callable[[Shape], float],
    asked: bool = False,
) -> Generator[E | Progress, None, T]:
    """In the worker: ``then`` with the models of a stored run, restored from its masks where they are no longer in memory.

    Its progress is that of all of it: ``cost`` is what ``then`` costs beside the restoring, see :mod:`liar.jobs.plan`. Raises
    :class:`InvalidSpecError` for a streamed model, and where the model shall be ``asked`` and has no head to answer.
    """
    variants = studio.registry.variants(result.spec.key)
    if variants is not None:
        return (yield from then(variants))
    # All of these load torch, which takes seconds.
    from liar.evaluate.generate import check_answers
    from liar.jobs.plan import Amounts, Shape, restore_cost
    from liar.jobs.restore import restore_steps
    from liar.models.offload import is_offloaded
    from liar.progress import Pace, Part

    yield Progress("load", 0, 1, f"Loading {result.spec.model}")
    loaded = loaded_for(studio, result.spec)
    if is_offloaded(loaded.model):
        raise InvalidSpecError("This model is streamed, so its variants cannot stay in memory; choose a smaller one.")
    if asked:
        check_answers(loaded)
    shape, amounts = Shape.of(loaded), Amounts.of(result.spec, loaded)
    pace = Pace([Part("restore", restore_cost(result.spec, shape, amounts)), Part("then", cost(shape))])
    variants = yield from pace.within("restore", restore_steps(result, loaded))
    studio.registry.keep(result.spec.key, variants)
    return (yield from pace.within("then", then(variants)))


def prompts_for(spec: PruneSpec, loaded: LoadedModel) -> list[str]:
    """What the models of a run are asked; nothing where they have no head to answer with."""
    from liar.evaluate.generate import answers, fits  # torch takes seconds to load

    if not answers(loaded):
        return []
    presets = preset_prompts(spec.model, writes=loaded.is_language_model)
    return [prompt for prompt in presets if fits(loaded, prompt)]


def loaded_for(studio: Studio, spec: PruneSpec, work: ModelWork | None = None) -> LoadedModel:
    """The model of ``spec``. Every load goes through here, so that none is of a recipe that the profile refuses."""
    studio.profile.check(spec)
    return studio.registry.get(spec.model, spec.device, spec.dtype, work)


def measured(spec: PruneSpec, loaded: LoadedModel) -> PruneSpec:
    """``spec`` with the task of its model, where it names none, and sequences that the model has positions for.

    The page has no control for the length of calibration sequences, so nobody could choose a shorter one.
    """
    from liar.data.packing import longest_sequence  # torch takes seconds to load

    choices: dict[str, Any] = {}
    if not spec.evaluate and loaded.task is not None:
        choices["evaluate"] = (loaded.task,)
    longest = longest_sequence(loaded.model.config, loaded.tokenizer)
    if spec.sequence_length > longest:
        choices["sequence_length"] = longest
    return spec.model_copy(update=choices) if choices else spec
