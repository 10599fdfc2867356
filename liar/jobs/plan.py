"""Plans of jobs: the parts of each, in order, with the seconds of :mod:`liar.jobs.estimates`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product

from liar.choices import IMPORTANCE, Criterion, Reconstruction
from liar.evaluate.timing.speed import PROMPT_TOKENS, REPEATS
from liar.jobs.estimates import OPERATIONS, Estimate
from liar.jobs.stages import stages_of
from liar.progress import Part
from liar.results import DENSE, QUANTIZED, VARIANTS, MeasuredVariant, Variant
from liar.spec import Needs, PruneSpec

# -- a run --------------------------------------------------------------------------------------------------------------


def run_parts(
    estimate: Estimate, *, known: Collection[tuple[str, MeasuredVariant]] = (), dense_first: bool = False
) -> list[Part]:
    """Parts of a run in order, after its text was read.

    ``known``: tasks, or "answers" to the prompts, each with the variant of which it is known. ``dense_first``: the dense
    model is measured before pruning.
    """
    dense = _measure_parts(estimate, "dense")
    parts = [*dense, *stage_parts(estimate)] if dense_first else [*stage_parts(estimate), *dense]
    for variant in VARIANTS[1:]:
        parts += _measure_parts(estimate.pruned, variant)
    if estimate.tasks:
        parts.append(_timing("reconstructed", estimate, estimate.pruned))
    left_out = {f"{variant} {task}" for task, variant in known}
    return [part for part in parts if part.name not in left_out]


def stage_parts(estimate: Estimate) -> list[Part]:
    """Parts that remove and repair; the last one is the pruning."""
    return [part for stage in stages_of(estimate.spec) for part in stage.parts(estimate)]


def _measure_parts(estimate: Estimate, variant: Variant) -> list[Part]:
    """Parts that measure a variant: its tasks, its answers, and its quantized copy."""
    parts = _tasks(estimate, variant)
    if estimate.prompts:
        parts.append(Part(f"{variant} answers", estimate.prompts * estimate.answer(), "generate"))
    if estimate.spec.quantize == "int8" and variant in QUANTIZED and estimate.tasks:
        copy = QUANTIZED[variant]
        parts.append(Part(f"{copy} quantizing", estimate.quantizing(), "quantize"))
        parts += [*_tasks(estimate, copy), _timing(copy, estimate, estimate)]
    return parts


def _tasks(estimate: Estimate, name: str) -> list[Part]:
    return [Part(f"{name} {task}", estimate.loss(*text), "evaluate") for task, text in estimate.tasks.items()]


def _timing(name: str, *models: Estimate) -> Part:
    """Timing of models that read one prompt or text in turns."""
    return Part(f"{name} timing", (REPEATS + 1) * sum(model.text(PROMPT_TOKENS) for model in models), "timing")


# -- other jobs ---------------------------------------------------------------------------------------------------------


def calibration_part(specs: Sequence[PruneSpec], estimate: Estimate) -> Part:
    """The part of one calibration that serves all ``specs``."""
    walk = estimate.walk(norm_aware=specs[0].needs.norm_aware)
    needs = Needs.of(*specs).of_model(embeds=estimate.embeds)
    return Part("calibrate", estimate.gradients(needs) + walk)


def sweep_parts(specs: Sequence[PruneSpec], estimate: Estimate, *, shared: bool) -> list[Part]:
    """Parts of a sweep: a calibration if it is ``shared``, then the runs, named by their position."""
    runs: list[Part] = []
    for number, spec in enumerate(specs):
        known = set(product(estimate.tasks, DENSE)) if number else ()
        parts = run_parts(replace(estimate, spec=spec, calibrated=shared), known=known)
        runs.append(Part(str(number), sum(part.cost for part in parts), "run"))
    return [calibration_part(specs, estimate), *runs] if shared else runs


def table_parts(specs: Sequence[PruneSpec], columns: Sequence[Reconstruction], estimate: Estimate) -> list[Part]:
    """Parts of a mask table: a calibration, the dense model, and for each row its masks and then its cells."""
    parts = [calibration_part(specs, estimate), *_tasks(estimate, "dense")]
    for spec in specs:
        row = replace(estimate, spec=spec, calibrated=True)
        parts.append(Part(f"{spec.criterion} masks", sum(part.cost for part in stage_parts(row)), "masks"))
        for name in columns:
            parts += _tasks(row.pruned, f"{spec.criterion} {name}")
    return parts


def atlas_parts(criteria: Sequence[Criterion], estimate: Estimate) -> list[Part]:
    """Parts of an atlas: a backward pass, which may be passed over, then the curves of every criterion at every site."""
    gradients = estimate.gradients(Needs(masks=True, outputs=True))
    curves = sum(
        len(criteria) * 2 * 3 * site.curve()
        + sum(site.scores(IMPORTANCE[criterion]) for criterion in criteria)
        + 8 * site.channels**3 / OPERATIONS  # the eigenvalues of the covariance
        for site in estimate.sites
    )
    return [Part("gradients", gradients), Part("curves", estimate.walk() + curves)]


def saving_parts(size: float, *, packed: bool) -> list[Part]:
    """Parts of saving ``size`` bytes of weights; the reload includes importing the libraries in a fresh process."""
    parts = [Part("write", size / 0.5e9 + 0.5), Part("reload", size / 0.5e9 + 6)]
    return [*parts, Part("pack", size / 0.5e9)] if packed else parts


def adjusted(parts: Sequence[Part], earlier: Sequence[Part], seconds: Mapping[str, float]) -> list[Part]:
    """Scale the costs of ``parts`` by the ``seconds`` of each stage of an ``earlier`` run, relative to its plan."""
    planned: defaultdict[str, float] = defaultdict(float)
    for part in earlier:
        planned[_stage(part)] += part.cost
    factors = {stage: seconds[stage] / cost for stage, cost in planned.items() if cost and seconds.get(stage)}
    return [replace(part, cost=part.cost * factors.get(_stage(part), 1.0)) for part in parts]


def _stage(part: Part) -> str:
    """Name of the stage to which a run's timings add this part."""
    names = {"survey": "calibrate", "layers": "calibrate", "cut": "prune", "timing": "evaluate"}
    return names.get(part.name, names.get(part.kind, part.name if part.kind == "walk" else part.kind or part.name))
