"""What the worker of a job does: a run for the page, the models of a stored run, the model that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from components.shared.lookup import Pruned
from liar.errors import InvalidSpecError, LiarError
from liar.events import Evaluated, Event, Finished, Progress, SiteDone
from liar.presets import preset_of
from liar.results import Evaluation, RunResult, SiteReport
from liar.spec import PruneSpec
from liar.tasks.record import OF_EMBEDDERS, OF_LANGUAGE_MODELS, HeadKind
from liar.tasks.registry import TASKS, task_named, usual_tasks

if TYPE_CHECKING:  # these load torch, which takes seconds
    from components.shared.studio import Studio
    from liar.jobs.estimates import Estimate
    from liar.models.loaded import LoadedModel
    from liar.models.variants import Variants
    from liar.runtime.memory import PlannedWork

E = TypeVar("E")
T = TypeVar("T")


def pruning(studio: Studio, asked: PruneSpec) -> Iterator[Event | Pruned]:
    """Run ``asked`` in the worker, with the prompts of the page; the result is stored even if no page is open.

    When the last site is done, all sites are handed out as :class:`Pruned` of the ``asked`` recipe, so that the heatmap is
    drawn before the metrics are measured, and again with each metric.
    """
    # Both load torch, which takes seconds; a page that only explores does without.
    from liar.jobs.pipeline import stream
    from liar.runtime.memory import PlannedWork
    from liar.runtime.offload import is_offloaded

    loaded = yield from loading(studio, asked, PlannedWork.of(asked))
    spec = measured(asked, loaded)
    prompts = prompts_for(spec, loaded)
    reports: list[SiteReport] = []
    evaluations: list[Evaluation] = []
    is_pruned = False
    earlier = studio.store.like(spec)
    # A streamed model is too large to be copied: the run loads its own.
    given = None if is_offloaded(loaded.model) else loaded
    events = stream(
        spec,
        given,
        prompts=prompts,
        calibration=studio.registry.calibration_for(spec, loaded) if given is not None and spec.reads_dense else None,
        earlier=earlier,
        store=studio.store.dense,
        keep_calibration=True,
    )
    for event in events:
        if isinstance(event, Finished):
            with suppress(LiarError):  # an open page stores it again, and reports why it cannot be kept
                studio.store.save(event.result)
        yield event
        if isinstance(event, SiteDone):
            reports.append(event.report)
            is_pruned = event.done == event.total
        elif isinstance(event, Evaluated):
            evaluations.append(event.evaluation)
        if is_pruned and isinstance(event, SiteDone | Evaluated):
            yield Pruned(asked, reports, list(evaluations))


def stored(studio: Studio, key: str) -> RunResult:
    """The run on the page; raises :class:`InvalidSpecError` if there is none or if it was deleted."""
    if not key:
        raise InvalidSpecError("No run of this recipe is shown yet: press “Measure it” first.")
    result = studio.store.load(key)
    if result is None:
        raise InvalidSpecError("The run shown is not kept here any more: press “Measure it” to do it again.")
    return result


def with_models(
    studio: Studio,
    run: RunResult | str,
    then: Callable[[Variants], Generator[E, None, T]],
    cost: Callable[[Estimate], float],
    asked: bool = False,
) -> Generator[E | Progress, None, T]:
    """Run ``then`` in the worker with the models of a run, restored from its masks if they are not in memory.

    ``run`` is the run or its key; a key is looked up only if the models are not in memory, as they may be of a run that
    could not be stored. Progress covers both parts: ``cost`` is that of ``then``, in the units of :mod:`liar.jobs.estimates`.
    Raises :class:`InvalidSpecError` for a streamed model, and if the model is to be ``asked`` and has no head to answer with.
    """
    variants = studio.registry.variants(run if isinstance(run, str) else run.spec.key)
    if variants is not None:
        return (yield from then(variants))
    result = stored(studio, run) if isinstance(run, str) else run
    # All of these load torch, which takes seconds.
    from liar.evaluate.answering.reply import check_answers
    from liar.jobs.estimates import Estimate
    from liar.jobs.plan import stage_parts
    from liar.jobs.restore import restore_steps
    from liar.progress import Pace, Part
    from liar.runtime.offload import is_offloaded

    loaded = yield from loading(studio, result.spec)
    if is_offloaded(loaded.model):
        raise InvalidSpecError("This model is streamed, so its variants cannot stay in memory; choose a smaller one.")
    if asked:
        check_answers(loaded)
    estimate = replace(Estimate.of(result.spec, loaded), keeps=False)
    *_, pruning = stage_parts(estimate)
    pace = Pace([Part("restore", pruning.cost), Part("then", cost(estimate))])
    variants = yield from pace.within("restore", restore_steps(result, loaded))
    studio.registry.keep(result.spec.key, variants)
    return (yield from pace.within("then", then(variants)))


def preset_prompts(model: str, kind: HeadKind | None = None) -> list[str]:
    """Three prompts of the model's task, if a preset has one; else those of the first task of this ``kind``."""
    preset = preset_of(model)
    named = task_named(preset.task) if preset is not None and preset.task is not None else None
    kinds = OF_EMBEDDERS if kind in OF_EMBEDDERS else {"pair" if kind == "rerank" else kind or "language-model"}
    first = next(task for task in TASKS if task.prompts and task.head in kinds)
    return list((named or first).prompts)


def prompts_for(spec: PruneSpec, loaded: LoadedModel) -> list[str]:
    """Prompts of a run: texts of its own data, else of its model's task; none if the model has no head to answer with."""
    from liar.evaluate.answering.generate import fits  # torch takes seconds to load

    own = _own_prompts(spec) if loaded.kind not in OF_LANGUAGE_MODELS else []
    return [prompt for prompt in own or preset_prompts(spec.model, loaded.kind) if fits(loaded, prompt)]


def _own_prompts(spec: PruneSpec) -> list[str]:
    """The first three texts or pairs that the recipe's own items begin with; empty if it names none."""
    from liar.data.text_reader import read_samples

    sources = (spec.data_of(name) for name in spec.evaluate if task_named(name).takes_texts)
    source = next(filter(None, sources), None)
    samples = islice(read_samples(source, "test"), 3) if source is not None else ()
    return ["\n".join(text for text in (sample.text, sample.pair) if text) for sample in samples]


def loading(
    studio: Studio, spec: PruneSpec, work: PlannedWork | None = None, pieces: int = 1
) -> Generator[Progress, None, LoadedModel]:
    """Load the model of ``spec``; every load of the page goes through here, after the profile has checked the recipe.

    ``pieces``: number of those that the job counts.
    """
    yield Progress("load", 0, pieces, f"Loading {spec.model}")
    studio.profile.check(spec)
    return studio.registry.get(spec.model, spec.device, spec.dtype, work)


def measured(spec: PruneSpec, loaded: LoadedModel) -> PruneSpec:
    """``spec`` with the task of its model if it names none, and with sequences no longer than the model's positions.

    The page has no control for the length of calibration sequences, so it is shortened here.
    """
    from liar.data.packing import longest_sequence  # torch takes seconds to load

    return spec.model_copy(
        update={
            "evaluate": spec.evaluate or usual_tasks(loaded.task, spec.data),
            "sequence_length": min(spec.sequence_length, longest_sequence(loaded)),
        }
    )
