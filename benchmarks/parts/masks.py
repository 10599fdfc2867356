"""Masks of one criterion, repaired by moments of the dense model or of a model that another criterion has pruned.

Half of the units goes, as many at every site for all criteria (uniform), so that only the choice of units differs. The repair
is least-squares of the dense weights; what changes is the model whose moments it is fitted to: the dense one, or one whose
units of another criterion are cut at every site and repaired, so that each site sees what is left of the sites before. A
gain is beside the moments of the dense model, with the paired standard error over test items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache, partial
from itertools import product

import torch
from figures import SMOLLM2
from readme import table
from torch import Tensor, nn

from liar.calibration.calibrate import Calibration, calibration_steps
from liar.choices import Criterion
from liar.explore.allocation import Candidate, allocate, best_bundles
from liar.jobs.stages.decide import decide
from liar.models.surgery import ConsumerParameters, shrink
from liar.progress import finish
from liar.results import Evaluation
from liar.sites import Site
from liar.spec import CRITERIA, Needs
from liar.tasks.demo import PERPLEXITY
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import Gain, Subject, examined, named

RATIO = 0.5
SUBJECTS = (
    Subject("demo/minilm-sentiment", "sentiment", "both"),
    Subject("demo/minilm-topic", "topic", "both"),
    Subject(SMOLLM2, PERPLEXITY.name, "ffn"),
)
PRUNERS: tuple[Criterion, ...] = ("magnitude", "obs", "kfac")
"""Criteria of the models whose moments repair the masks of others."""


def pending(scope: Scope) -> Iterator[Pending]:
    subjects, criteria = (SUBJECTS[:1], CRITERIA[-2:]) if scope.fast else (SUBJECTS, CRITERIA)
    for subject, criterion in product(subjects, criteria):
        yield Pending(name_of(subject, criterion), partial(measure, subject, criterion, scope))


def name_of(subject: Subject, criterion: str) -> str:
    return f"{subject.name}, {criterion}"


@lru_cache(maxsize=1)
def dense_calibration(subject: Subject, scope: Scope) -> Calibration:
    spec = subject.spec(RATIO, scope)
    steps = calibration_steps(spec, examined(subject, scope).loaded, Needs(masks=True, outputs=True, norm_aware=False))
    return finish(steps)


@cache
def mask(subject: Subject, criterion: Criterion, scope: Scope) -> dict[Site, Tensor]:
    """Kept bundles of each site."""
    calibration, adapter = dense_calibration(subject, scope), examined(subject, scope).loaded.adapter
    sites = adapter.sites(subject.targets)
    counts = allocate("uniform", [Candidate(site, 1) for site in sites], RATIO)
    found: dict[Site, Tensor] = {}
    for site in sites:
        weight = adapter.consumer(site).weight.T
        scores = calibration.scores(criterion, site, weight, 0)
        found[site] = torch.from_numpy(best_bundles(site, scores.numpy(), counts[site.name]))
    return found


def repair_of(
    consumer: nn.Linear, site: Site, bundles: Tensor, calibration: Calibration
) -> tuple[Tensor, ConsumerParameters]:
    """Kept channels of a site, and the parameters of its consumer by least-squares."""
    decision = decide(site, bundles, calibration.moments[site].plain, consumer.weight.T, ("least-squares",))
    return decision.channels, ConsumerParameters.install_of(consumer, decision.solutions["least-squares"])


@lru_cache(maxsize=len(PRUNERS))
def moments_of(subject: Subject, pruner: Criterion, scope: Scope) -> Calibration:
    """Calibration of the model in which every site is cut and repaired by ``pruner``, but computes all of its channels."""
    loaded = examined(subject, scope).copy(subject.spec(RATIO, scope))
    calibration = dense_calibration(subject, scope)
    with torch.no_grad():
        for site, bundles in mask(subject, pruner, scope).items():
            consumer = loaded.adapter.consumer(site)
            channels, repaired = repair_of(consumer, site, bundles, calibration)
            weight = torch.zeros_like(consumer.weight)
            weight[:, channels] = repaired.weight
            consumer.weight = torch.nn.Parameter(weight, requires_grad=False)
            if repaired.bias is not None:
                consumer.bias = torch.nn.Parameter(repaired.bias, requires_grad=False)
    return finish(calibration_steps(subject.spec(RATIO, scope), loaded, Needs(norm_aware=False)))


def repaired(subject: Subject, criterion: Criterion, calibration: Calibration, scope: Scope) -> Evaluation:
    """The dense model cut by the mask of ``criterion`` and repaired by the moments of ``calibration``."""
    shared = examined(subject, scope)
    working = shared.copy(subject.spec(RATIO, scope))
    for site, bundles in mask(subject, criterion, scope).items():
        _, parameters = repair_of(working.adapter.consumer(site), site, bundles, calibration)
        shrink(working.adapter, site, bundles, parameters)
    working.adapter.after_surgery()
    return shared.measured(working)


def measure(subject: Subject, criterion: Criterion, scope: Scope) -> dict[str, float]:
    dense = examined(subject, scope).dense
    by_dense = repaired(subject, criterion, dense_calibration(subject, scope), scope)
    values = {"n": float(dense.n), **named(("dense", dense), ("by dense", by_dense))}
    for pruner in PRUNERS:
        found = repaired(subject, criterion, moments_of(subject, pruner, scope), scope)
        values |= {pruner: found.value, **Gain.of(by_dense, found).named(f"{pruner} gain")}
    return values


def report(points: Mapping[str, Point]) -> Report:
    sections, findings = [], []
    for subject in SUBJECTS:
        found = {each: points[name].values for each in CRITERIA if (name := name_of(subject, each)) in points}
        if not found:
            continue
        rows, signs = [], Counter[tuple[str, int]]()
        for criterion, values in found.items():
            gains = {pruner: Gain.read(values, f"{pruner} gain") for pruner in PRUNERS}
            cells = (f"{subject.metric.words(values[each])} ({subject.gain_words(gains[each])})" for each in PRUNERS)
            rows.append((criterion, subject.words(values, "by dense"), *cells))
            signs.update((pruner, gained.sign) for pruner, gained in gains.items())
        counts = [f"{each} {signs[each, 1]} and {signs[each, -1]}" for each in PRUNERS]
        findings.append(f"- {subject.name}, {len(rows)} masks: {', '.join(counts)}")
        first = next(iter(found.values()))
        columns = ("masks of", "moments of the dense model", *(f"of one pruned by {pruner}" for pruner in PRUNERS))
        sections.append(
            f"**{subject.name}**, {subject.metric.title_of(subject.task)}, dense {subject.words(first, 'dense')}, "
            f"n = {first['n']:,.0f}\n\n{table(columns, rows)}"
        )
    head = (
        "Half of the units removed, as many at every site for all criteria, least-squares, one-shot. In brackets what the "
        "moments of a pruned model gain over those of the dense one, with the paired standard error, of a perplexity in nats."
    )
    finding = (
        "For how many masks the moments of a model pruned by another criterion are better, and for how many worse, by two "
        "standard errors or more:"
    )
    return Report("\n\n".join([head, finding, "\n".join(findings), *sections]))


MASKS = Part("masks", "Masks of one criterion, moments of a model pruned by another", pending, report)
