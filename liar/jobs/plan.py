"""Plans of jobs: the parts of each, in order, with the costs of :mod:`liar.jobs.estimates`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product

from liar.choices import IMPORTANCE, Criterion, Reconstruction
from liar.jobs.estimates import (
    OPERATIONS,
    Amounts,
    Shape,
    answer_cost,
    curve_cost,
    gradients_cost,
    removed_by,
    repair_cost,
    scores_cost,
    survey_cost,
    timing_cost,
    walk_cost,
)
from liar.jobs.stages import stages_of
from liar.progress import Part
from liar.results import DENSE, QUANTIZED, VARIANTS, MeasuredVariant, Variant
from liar.spec import Needs, PruneSpec

# -- a run --------------------------------------------------------------------------------------------------------------


def run_parts(
    spec: PruneSpec,
    shape: Shape,
    amounts: Amounts,
    *,
    calibrated: bool = False,
    known: Collection[tuple[str, MeasuredVariant]] = (),
    dense_first: bool = False,
    keeps: bool = True,
) -> list[Part]:
    """Parts of a run in order, after its text was read.

    ``calibrated``: a calibration was passed in. ``known``: evaluations of the dense model that were passed in.
    ``dense_first``: the dense model is measured before pruning. ``keeps``: a one-shot run has memory for the moments of
    all sites.
    """
    dense = measure_parts(spec, shape, amounts, "dense", known)
    parts = dense if dense_first else []
    for stage in stages_of(spec):
        parts = [*parts, *stage.parts(spec, shape, amounts, calibrated=calibrated, keeps=keeps)]
    parts += [] if dense_first else dense
    for variant in VARIANTS[1:]:
        parts += measure_parts(spec, shape, amounts, variant)
    if amounts.tasks:
        parts.append(Part("reconstructed timing", timing_cost(shape, 0.0, removed_by(spec, shape)), "timing"))
    return parts


def measure_parts(
    spec: PruneSpec,
    shape: Shape,
    amounts: Amounts,
    variant: Variant,
    known: Collection[tuple[str, MeasuredVariant]] = (),
) -> list[Part]:
    """Parts that measure a variant: its tasks except the ``known`` ones, its answers, and its quantized copy."""
    removed = 0.0 if variant == "dense" else removed_by(spec, shape)
    parts = _tasks(shape, amounts, variant, removed, known)
    if amounts.prompts:
        parts.append(Part(f"{variant} answers", amounts.prompts * answer_cost(shape, amounts, removed), "generate"))
    if spec.quantize == "int8" and variant != "pruned" and amounts.tasks:
        copy = QUANTIZED[variant]
        parts.append(Part(f"{copy} quantizing", shape.quantized(), "quantize"))
        parts += _tasks(shape, amounts, copy, removed, known)
        parts.append(Part(f"{copy} timing", timing_cost(shape, removed, removed), "timing"))
    return parts


# -- other jobs ---------------------------------------------------------------------------------------------------------


def calibration_part(specs: Sequence[PruneSpec], shape: Shape, amounts: Amounts) -> Part:
    """The part of one calibration that serves all ``specs``."""
    walk = walk_cost(shape, amounts, specs[0].targets, norm_aware=specs[0].needs.norm_aware)
    return Part("calibrate", gradients_cost(shape, amounts, Needs.of(*specs)) + walk)


def sweep_parts(specs: Sequence[PruneSpec], shape: Shape, amounts: Amounts, *, shared: bool) -> list[Part]:
    """Parts of a sweep: a calibration if it is ``shared``, then the runs, named by their position."""
    runs: list[Part] = []
    for number, spec in enumerate(specs):
        known = set(product(amounts.tasks, DENSE)) if number else ()
        parts = run_parts(spec, shape, amounts, calibrated=shared, known=known)
        runs.append(Part(str(number), sum(part.cost for part in parts), "run"))
    return [calibration_part(specs, shape, amounts), *runs] if shared else runs


def table_parts(
    specs: Sequence[PruneSpec], columns: Sequence[Reconstruction], shape: Shape, amounts: Amounts
) -> list[Part]:
    """Parts of a mask table: a calibration, the dense model, and for each row its masks and then its cells."""
    parts = [calibration_part(specs, shape, amounts), *_tasks(shape, amounts, "dense")]
    for spec in specs:
        repairs = sum(repair_cost(site, spec.ratio) for site in shape.chosen(spec.targets))
        scoring = survey_cost(spec, shape, amounts, calibrated=True)
        parts.append(Part(f"{spec.criterion} masks", scoring + repairs, "masks"))
        for name in columns:
            parts += _tasks(shape, amounts, f"{spec.criterion} {name}", removed_by(spec, shape))
    return parts


def atlas_parts(criteria: Sequence[Criterion], shape: Shape, amounts: Amounts, *, gradients: bool) -> list[Part]:
    """Parts of an atlas: a backward pass if ``gradients``, then the curves of every criterion at every site."""
    parts = [Part("gradients", gradients_cost(shape, amounts, Needs(masks=True, outputs=True)))] if gradients else []
    curves = sum(
        len(criteria) * 2 * 3 * curve_cost(site)
        + sum(scores_cost(site, IMPORTANCE[criterion]) for criterion in criteria)
        + 8 * site.channels**3 / OPERATIONS  # the eigenvalues of the covariance
        for site in shape.chosen("both")
    )
    return [*parts, Part("curves", walk_cost(shape, amounts, "both") + curves)]


def saving_parts(size: float, *, packed: bool) -> list[Part]:
    """Parts of saving ``size`` bytes of weights; the reload includes importing the libraries in a fresh process."""
    parts = [Part("write", size / 0.5e9 + 0.5), Part("reload", size / 0.5e9 + 6)]
    return [*parts, Part("pack", size / 0.5e9)] if packed else parts


def _tasks(
    shape: Shape, amounts: Amounts, name: str, removed: float = 0.0, known: Collection[tuple[str, str]] = ()
) -> list[Part]:
    return [
        Part(f"{name} {task}", shape.loss(tokens, length, removed=removed), "evaluate")
        for task, (tokens, length) in amounts.tasks.items()
        if (task, name) not in known
    ]


def adjusted(parts: Sequence[Part], earlier: Sequence[Part], seconds: Mapping[str, float]) -> list[Part]:
    """Scale the costs of ``parts`` by the ``seconds`` of each stage of an ``earlier`` run, relative to its plan."""
    planned: dict[str, float] = {}
    for part in earlier:
        planned[_stage(part)] = planned.get(_stage(part), 0.0) + part.cost

    def factor(part: Part) -> float:
        stage = _stage(part)
        return seconds[stage] / planned[stage] if planned.get(stage) and seconds.get(stage) else 1.0

    return [replace(part, cost=part.cost * factor(part)) for part in parts]


def _stage(part: Part) -> str:
    """Name of the stage to which a run's timings add this part."""
    names = {"survey": "calibrate", "timing": "evaluate"}
    return names.get(part.name, names.get(part.kind, part.name if part.kind == "walk" else part.kind or part.name))
