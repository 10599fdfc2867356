"""Quality of pruned models, with a table for each question.

python benchmarks/figures.py                        prints the tables (about an hour and a half on two cores)
python benchmarks/figures.py --write                also puts them into docs/results/quality.md, between their markers
python benchmarks/figures.py --only minilm repairs  some sections; equal runs are done once
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import cache
from itertools import product

from readme import sections, table

from liar import Calibration, LoadedModel, PruneSpec, RunResult, load_model, run, stream
from liar.course.figures import evaluation_of
from liar.events import Finished
from liar.presets import PRESETS
from liar.report.words.metric_sentences import (
    beside_dense,
    measured_on,
    recovery,
    recovery_words,
    sample,
    value_words,
    with_error,
)
from liar.report.words.sentences import calibrated_on
from liar.results import VARIANTS, Evaluation, Variant
from liar.spec import RECONSTRUCTIONS, Targets
from liar.statistics.compare import difference
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS
from liar.tasks.registry import questions, usual_tasks

LANGUAGE_TASKS = (*usual_tasks(PERPLEXITY.name), *(task.name for task in questions()))
SMOLLM2, SENTIMENT = "demo/smollm2-135m", "demo/minilm-sentiment"
SEEDS = (0, 1, 2)
TENTHS = tuple(tens / 10 for tens in range(1, 10))
"""Ratios of a curve over all of them."""


def tenths_of(model: str, targets: Targets) -> tuple[float, ...]:
    """:data:`TENTHS` that leave a head in every layer: SmolLM2 has three groups of heads in each."""
    few_heads = model == SMOLLM2 and targets != "ffn"
    return tuple(ratio for ratio in TENTHS if ratio < 2 / 3 or not few_heads)


@cache
def loaded(model: str) -> LoadedModel:
    return load_model(model)


@cache
def measured(spec: PruneSpec) -> RunResult:
    return run(spec, loaded(spec.model))


def finished_run(
    spec: PruneSpec, model: LoadedModel, *, calibration: Calibration | None = None
) -> tuple[LoadedModel, RunResult]:
    """The smaller model, and the result of its run."""
    *_, last = stream(spec, model, calibration=calibration)
    assert isinstance(last, Finished)
    assert last.model is not None
    return last.model, last.result


def three_of(result: RunResult, task: str | None = None) -> list[Evaluation]:
    """What was measured of the dense, the pruned and the repaired model."""
    return [evaluation_of(result, variant, task) for variant in VARIANTS]


def seconds_of_work(result: RunResult) -> float:
    """Seconds of a run without loading, reading and measuring."""
    return sum(result.timings.get(stage, 0.0) for stage in ("gradients", "calibrate", "allocate", "prune"))


def share_of_parameters(result: RunResult) -> str:
    totals = result.totals
    whole = 1 - totals.parameters_after / totals.parameters_before
    return f"{totals.blocks_removed:.0%} / {whole:.0%}"


def language_model() -> str:
    """Perplexity of SmolLM2, FFN neurons, criterion fluctuation, by allocation, schedule and reconstruction."""
    choices = ("allocation", "schedule", "reconstruction")
    recipes = [
        ("uniform", "one-shot", "liar"),
        ("uniform", "one-shot", "least-squares"),
        ("error-curve", "one-shot", "least-squares"),
        ("error-curve", "sequential", "least-squares"),
    ]
    rows = []
    for ratio, recipe in product((0.2, 0.5), recipes):
        base = PruneSpec(model=SMOLLM2, criterion="fluctuation", ratio=ratio, evaluate=(PERPLEXITY.name,))
        result = measured(base.model_copy(update=dict(zip(choices, recipe, strict=True))))
        dense, pruned, repaired = three_of(result)
        kept = (*map(with_error, (pruned, repaired)), f"{repaired.value / dense.value:.2f} x")
        rows.append((f"{ratio:.0%}", share_of_parameters(result), *recipe, *kept))
    head = f"Dense: {with_error(dense)} (n = {sample(dense)}). {calibrated_on(result)}"
    removed = ("neurons removed", "parameters removed, blocks / all")
    columns = (*removed, *choices, "pruned", "reconstructed", "of dense")
    return f"{head}\n\n{table(columns, rows)}"


def tokens() -> str:
    """Perplexity over calibration tokens: the effect of a poorly estimated covariance on a repair."""
    channels, beside = 1536, 8
    base = PruneSpec(model=SMOLLM2, ratio=0.4, schedule="one-shot", evaluate=("perplexity",))
    runs = {
        each: [measured(base.model_copy(update={"tokens": each * channels, "seed": seed})) for seed in SEEDS]
        for each in (1, 2, 3, 4, beside, 16)
    }

    def values(each: int, variant: Variant) -> list[float]:
        return [evaluation_of(result, variant).value for result in runs[each]]

    def over_seeds(found: list[float]) -> str:
        return f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}"

    enough = statistics.mean(values(beside, "reconstructed"))
    rows = [
        (
            f"{each * channels:,}",
            each,
            over_seeds(values(each, "pruned")),
            over_seeds(values(each, "reconstructed")),
            f"{statistics.mean(values(each, 'reconstructed')) / enough:.2f} x",
        )
        for each in runs
    ]
    dense = evaluation_of(runs[beside][0], "dense")
    head = (
        f"40 % of the neurons, the default recipe but one-shot; mean and standard deviation over {len(SEEDS)} seeds of the "
        f"text. Dense: {with_error(dense)} (n = {sample(dense)})."
    )
    columns = ("calibration tokens", "for each channel", *VARIANTS[1:], f"of that with {beside * channels:,}")
    return f"{head}\n\n{table(columns, rows)}"


def heads() -> str:
    """Mean error over the attention sites: half of the heads removed, one-shot, uniform."""
    rows = []
    for model in (SMOLLM2, SENTIMENT):
        choices = {"criterion": "fluctuation", "allocation": "uniform", "schedule": "one-shot"}
        result = measured(PruneSpec.create(model=model, targets="heads", **choices))
        means = {name: statistics.mean(site.error[name] for site in result.sites) for name in RECONSTRUCTIONS}
        kept = f"{result.sites[0].kept} of {result.sites[0].units}"
        rows.append((model, kept, *(f"{means[name]:.4f}" for name in RECONSTRUCTIONS)))
    return table(("model", "heads kept", *RECONSTRUCTIONS), rows)


CLASSIFIERS = [(preset.id, preset.task) for preset in PRESETS if preset.adapter is not None and preset.task is not None]
"""MiniLM with the adapter of each task, and that task."""
MODELS = dict([*CLASSIFIERS, (SMOLLM2, PERPLEXITY.name)])


def classifiers() -> str:
    """Main metric of MiniLM on each task, heads and neurons, default criterion, by allocation and schedule."""
    rows = []
    samples: dict[str, str] = {}
    recipes = {
        "uniform, one-shot": {"allocation": "uniform", "schedule": "one-shot"},
        "error-curve, one-shot": {"allocation": "error-curve", "schedule": "one-shot"},
        "default": {},
    }
    for (model, task), ratio, (name, choices) in product(CLASSIFIERS, (0.25, 0.5, 0.7), recipes.items()):
        base = PruneSpec(model=model, targets="both", ratio=ratio, evaluate=(task,))
        result = measured(base.model_copy(update=choices))
        dense, _, repaired = found = three_of(result)
        samples[METRICS[dense.metric].title_of(task)] = sample(dense)
        cells = (*map(with_error, found), f"{repaired.value / dense.value:.1%}")
        rows.append((task, f"{ratio:.0%}", share_of_parameters(result), name, *cells))
    columns = ("task", "units removed", "parameters removed, blocks / all", "recipe", *VARIANTS, "of dense")
    read = "; ".join(f"{title}, {words}" for title, words in samples.items())
    return f"Criterion {PruneSpec().criterion}; ± is one standard error. Measured: {read}.\n\n{table(columns, rows)}"


def repairs() -> str:
    """The default recipe at one half with each reconstruction, and the paired difference to least-squares."""
    rows = []
    others = [name for name in RECONSTRUCTIONS if name not in ("none", PruneSpec().reconstruction)]
    for model, task in MODELS.items():
        base = PruneSpec(model=model, targets="ffn" if model == SMOLLM2 else "both", evaluate=(task,))
        best = evaluation_of(measured(base), "reconstructed")
        cells = []
        for name in others:
            other = evaluation_of(measured(base.model_copy(update={"reconstruction": name})), "reconstructed")
            cells.append(f"{value_words(other)} ({beside(best, other)})")
        rows.append((task, with_error(best), *cells))
    head = (
        f"Half of all heads and neurons (of SmolLM2: of the neurons), the default recipe with each reconstruction; in "
        f"parentheses the difference to {PruneSpec().reconstruction}, ± its paired standard error, and ahead or behind if "
        "it exceeds that."
    )
    return f"{head}\n\n{table(('task', PruneSpec().reconstruction, *others), rows)}"


def beside(best: Evaluation, other: Evaluation) -> str:
    """Difference of ``other`` to ``best``: ``-1.1 % ± 0.5 % behind``, or ahead, if it exceeds its paired standard error."""
    metric, change, stderr = METRICS[best.metric], other.value - best.value, difference(best, other).stderr or 0.0
    words = f"{'+' if change > 0 else ''}{metric.words(change)} ± {metric.words(stderr)}"
    if abs(change) <= stderr:
        return words
    return f"{words} {'behind' if metric.loss(best.value, other.value) > 0 else 'ahead'}"


def language_tasks() -> str:
    """Perplexity in and out of the domain of the calibration text, and questions, with the default recipe."""
    rows, read = [], ""
    for ratio in (0.2, 0.5):
        result = measured(PruneSpec(model=SMOLLM2, ratio=ratio, evaluate=LANGUAGE_TASKS))
        read = measured_on(result) or ""
        for task in LANGUAGE_TASKS:
            found = recovery(result, task)
            for place, figures in enumerate(zip(*(item.figures for item in three_of(result, task)), strict=True)):
                title = METRICS[figures[0].metric].title_of(task)
                recovered = recovery_words(found) if found is not None and not place else "-"
                cells = (*map(with_error, figures), beside_dense(result, figures[-1]), recovered)
                rows.append((f"{ratio:.0%}", title, *cells))
    columns = ("neurons removed", "metric", *VARIANTS, "beside dense", "recovery")
    return f"The default recipe. {read}\n\n{table(columns, rows)}"


SECTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "smollm2": ("SmolLM2-135M, FFN neurons, criterion fluctuation", language_model),
    "tasks": ("SmolLM2-135M, the default recipe on other text and on questions", language_tasks),
    "tokens": ("SmolLM2-135M, perplexity over calibration tokens", tokens),
    "heads": ("Half of the attention heads: mean error of the layers", heads),
    "minilm": ("MiniLM, heads and neurons", classifiers),
    "repairs": ("Every repair of the same recipe", repairs),
}


if __name__ == "__main__":
    sections(__doc__, SECTIONS)
