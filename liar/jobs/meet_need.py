"""The ratio for a need, from a model alone: counted for parameters and sizes, tried and measured for a loss."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, log

import numpy as np

from liar.calibration.calibrate import calibration_steps
from liar.errors import InvalidSpecError
from liar.evaluate.prepared_task import evaluate_steps
from liar.events import Event, Progress
from liar.explore.allocation import allocate, check_units
from liar.explore.forecast import divergence
from liar.explore.need import Need, met_words, ratio_for, ratio_of_loss, spread
from liar.explore.sizes import Sizes, possible_ratios
from liar.jobs.draw_atlas import kind_facts
from liar.jobs.pipeline import stream
from liar.jobs.smaller_vocabulary import in_its_vocabulary
from liar.models.loaded import LoadedModel, parameter_count
from liar.progress import relay, relay_all
from liar.runtime.environment import readable_failures
from liar.spec import PruneSpec
from liar.tasks.demo import PERPLEXITY

TRIES = 5
"""Most ratios that are tried for a loss."""

CLOSE = 0.97
"""A measured loss is close enough from this share of the asked one on, in nats."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A ratio that was tried for a loss: perplexity beside the dense one, as predicted and as measured."""

    ratio: float
    predicted: float
    measured: float


def sizes_of(loaded: LoadedModel) -> Sizes:
    """What parameters and bytes of a model are counted by."""
    adapter, a_parameter = loaded.adapter, next(loaded.model.parameters())
    return Sizes(
        parameter_count(loaded.model),
        parameter_count(adapter.layers),
        kind_facts(adapter),
        a_parameter.element_size(),
        windows=loaded.windows,
        cached=loaded.cached,
        loses_layers=adapter.loses_blocks,
    )


@dataclass(frozen=True, slots=True)
class Met:
    """The recipe that meets a need, in ``words``, and the ratios that were tried for a loss."""

    spec: PruneSpec
    words: str
    trials: Sequence[Trial] = ()


def meet_steps(
    need: Need, spec: PruneSpec, loaded: LoadedModel, *, spreads: bool = False
) -> Generator[Progress, None, Met]:
    """Find the ratio of ``spec`` that meets ``need`` and removes least, or the greatest one for a loss.

    If it ``spreads``, layers go as well, see :func:`liar.explore.need.spread`. A loss is measured on validation text, which
    neither calibrates nor is reported. Raises :class:`InvalidSpecError` if no ratio meets the need, with the nearest that one
    does, and the errors of a run.
    """
    with readable_failures():
        if need.kind != "loss":
            short, _ = yield from in_its_vocabulary(spec, loaded)
            gone = parameter_count(loaded.model) - parameter_count(short.model)
            sizes = replace(sizes_of(loaded), tokens_gone=gone)
            spec = spread(need, spec, sizes) if spreads else spec
            spec = spec.at(ratio_for(need, spec, sizes))
            return Met(spec, met_words(need, spec, sizes))
        check_units(spec)
        if not loaded.is_language_model:
            raise InvalidSpecError(f"{loaded.id} has no perplexity; ask for a share of the parameters or a size.")
        ratio, trials = yield from _tried(need.amount, spec, loaded)
        return Met(spec.at(ratio), f"A ratio of {ratio:g} meets that.", trials)


def _tried(most: float, spec: PruneSpec, loaded: LoadedModel) -> Generator[Progress, None, tuple[float, list[Trial]]]:
    spec = spec.model_copy(update={"evaluate": (), "quantize": "none"})
    steps = calibration_steps(spec, loaded, replace(spec.needs, sensitivity=True))
    calibration = yield from relay(steps, lambda step: Progress("calibrate", *step, "Reading the curves of every site"))
    dense = yield from _perplexity(spec, loaded, "Measuring the dense model")
    sites, by_loss = loaded.adapter.sites(spec.targets), spec.model_copy(update={"allocation": "loss-curve"})
    candidates, damages = (
        [calibration.candidate(each, site, loaded.adapter) for site in sites] for each in (spec, by_loss)
    )
    ratios = possible_ratios(site.bundles for site in sites)
    nats = {ratio: divergence(damages, allocate(spec.allocation, candidates, ratio)) for ratio in ratios}
    trials: list[Trial] = []
    for _ in range(TRIES):
        expected = _expected(nats, trials)
        missed = sum(trial.measured > most for trial in trials)
        # The more careful, the more often it was too much, until a trial met it: between the two the loss is known well.
        careful = 0.5 if missed < len(trials) else 1 + 4 * missed
        aim = most ** (1 - careful * (1 - CLOSE))
        ratio = ratio_of_loss(aim, expected.__getitem__, ratios)
        ratio = min([ratio, *(round(trial.ratio - 0.01, 2) for trial in trials if trial.measured > most)])
        if ratio <= max((trial.ratio for trial in trials if trial.measured <= most), default=0.0):
            break
        words = f"Trying a ratio of {ratio:g}"
        run = stream(spec.model_copy(update={"ratio": ratio}), loaded, calibration=calibration)
        finished = yield from relay_all(run, partial(_progress, words))
        assert finished.model is not None, "a run returns its model"
        measured = (yield from _perplexity(spec, finished.model, f"{words}: measuring")) / dense
        trials.append(Trial(ratio, expected[ratio], measured))
        if most**CLOSE <= measured <= most:
            break
    met = [trial.ratio for trial in trials if trial.measured <= most]
    if not met:
        nearest = min(trials, key=lambda trial: trial.measured)
        raise InvalidSpecError(
            f"No ratio tried keeps the perplexity at {most:g} x the dense one; the nearest is {nearest.measured:.3g} x at a "
            f"ratio of {nearest.ratio:g}. Ask for that, or for a smaller cut."
        )
    return max(met), trials


def _expected(nats: Mapping[float, float], trials: Sequence[Trial]) -> dict[float, float]:
    """The loss at each ratio: what the curves predict in ``nats``, made to agree with every trial."""
    points = sorted((nats[trial.ratio], log(trial.measured)) for trial in trials)
    known, found = zip((0.0, 0.0), *points, strict=True)
    steepness = points[-1][1] / points[-1][0] if points else 1.0  # beyond the last trial
    return {
        ratio: exp(float(np.interp(each, known, found)) + steepness * max(each - known[-1], 0.0))
        for ratio, each in nats.items()
    }


def _perplexity(spec: PruneSpec, loaded: LoadedModel, words: str) -> Generator[Progress, None, float]:
    steps = evaluate_steps(
        loaded,
        PERPLEXITY.name,
        split="validation",
        limit=spec.evaluate_limit,
        sequence_length=spec.evaluate_length,
        separator=spec.separator,
    )
    evaluation = yield from relay(steps, lambda step: Progress("evaluate", *step, words))
    return evaluation.value


def _progress(words: str, event: Event) -> Iterator[Progress]:
    if isinstance(event, Progress):
        yield Progress(event.stage, event.done, event.total, f"{words}: {event.message}")
