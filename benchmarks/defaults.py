"""Choice of the defaults: the default and what differs from it in one choice, on validation text, never on test text.

    python benchmarks/defaults.py                 prints the tables (about an hour on two cores for a seed)
    python benchmarks/defaults.py --write         also puts them into docs/results/defaults.md, between its markers
    python benchmarks/defaults.py --only topic    one task
    python benchmarks/defaults.py --seeds 3       calibration texts of several seeds; each recipe is judged by its mean

Calibration reads the training part, a recipe is chosen on the validation part, and the figures of docs/results/quality.md come
from the test part; no text is in two parts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product, starmap

from figures import finished_run
from readme import command_line, table, write

from liar import LoadedModel, PruneSpec, load_model
from liar.calibration.calibrate import calibration_steps
from liar.choices import Criterion
from liar.evaluate.prepared_task import evaluate
from liar.progress import finish
from liar.report.words.metric_sentences import sample
from liar.results import Evaluation
from liar.spec import Allocation, Needs, Schedule, Targets
from liar.statistics.compare import right_answers
from liar.tasks.splits import Split

SPLIT: Split = "validation"
CRITERIA: tuple[Criterion, ...] = ("fluctuation", "obs", "kfac")
ALLOCATIONS: tuple[Allocation, ...] = ("uniform", "error-curve", "loss-curve")
SCHEDULES: tuple[Schedule, ...] = ("one-shot", "sequential", "corrective")


@dataclass(frozen=True)
class Recipe:
    criterion: str
    allocation: str
    schedule: Schedule

    def __str__(self) -> str:
        return f"{self.criterion}, {self.allocation}, {self.schedule}"


DEFAULT = Recipe(PruneSpec().criterion, PruneSpec().allocation, PruneSpec().schedule)
CANDIDATES = tuple(
    recipe
    for recipe in starmap(Recipe, product(CRITERIA, ALLOCATIONS, SCHEDULES))
    if sum(getattr(recipe, field.name) != getattr(DEFAULT, field.name) for field in fields(Recipe)) <= 1
)
"""The default, and what differs from it in one choice."""


@dataclass(frozen=True)
class Case:
    """A model, its targets and ratios, and the task that ranks the recipes."""

    model: str
    targets: Targets
    task: str
    ratios: tuple[float, ...]


CASES = (
    Case("demo/smollm2-135m", "ffn", "perplexity", (0.2, 0.5)),
    Case("demo/minilm-sentiment", "both", "sentiment", (0.5,)),
    Case("demo/minilm-topic", "both", "topic", (0.5,)),
)


@dataclass(frozen=True)
class Standing:
    """A recipe in the ranking. ``loss``: mean over items and seeds. ``spread``: standard deviation over seeds.
    ``behind``: loss above the best, with its paired standard error over items (None for the best and for one item).
    """

    recipe: Recipe
    loss: float
    stderr: float
    spread: float | None
    behind: float
    behind_stderr: float | None

    @property
    def is_best(self) -> bool:
        """Whether this is the best, or at most one standard error behind it."""
        return self.behind <= (self.behind_stderr or 0.0)


def losses_of(evaluation: Evaluation) -> list[float]:
    """Loss of each item: nats per token of a window, or 1 for a wrong answer and 0 for a right one."""
    if evaluation.items is not None and evaluation.items.nll is not None:
        return list(evaluation.items.nll)
    return [0.0 if right else 1.0 for right in right_answers(evaluation) or []]


def standings(losses: Mapping[Recipe, Sequence[Sequence[float]]]) -> list[Standing]:
    """Rank the recipes, best first; ``losses`` (seeds, items) are of the same items in the same order."""
    items = {recipe: [statistics.fmean(each) for each in zip(*seeds, strict=True)] for recipe, seeds in losses.items()}
    ranked = sorted(items, key=lambda recipe: statistics.fmean(items[recipe]))
    found = []
    for recipe in ranked:
        behind = [mine - its for mine, its in zip(items[recipe], items[ranked[0]], strict=True)]
        means = [statistics.fmean(seed) for seed in losses[recipe]]
        loss, spread = statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else None
        apart = statistics.fmean(behind), None if recipe == ranked[0] else _stderr(behind)
        found.append(Standing(recipe, loss, _stderr(items[recipe]) or 0.0, spread, *apart))
    return found


def _stderr(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def measured(case: Case, seed: int, candidates: Sequence[Recipe], limit: int | None, loaded: LoadedModel) -> Measured:
    """Evaluate the dense model and every candidate at every ratio on :data:`SPLIT`; they share one calibration."""
    base = PruneSpec(model=case.model, targets=case.targets, seed=seed)
    shared = finish(calibration_steps(base, loaded, Needs(outputs=True, sensitivity=True)))
    found: dict[tuple[float, Recipe], Evaluation] = {}
    for ratio, recipe in product(case.ratios, candidates):
        spec = base.model_copy(update={"ratio": ratio, **asdict(recipe)})
        model, _ = finished_run(spec, loaded, calibration=shared)
        found[ratio, recipe] = evaluate(model, case.task, "reconstructed", split=SPLIT, limit=limit)
        print(f"  {case.task}, seed {seed}, {ratio:.0%}, {recipe}: {found[ratio, recipe].value:.4g}", flush=True)
    return Measured(evaluate(loaded, case.task, split=SPLIT, limit=limit), found)


@dataclass(frozen=True)
class Measured:
    """Evaluations with the calibration text of one seed, by ratio and recipe."""

    dense: Evaluation
    found: Mapping[tuple[float, Recipe], Evaluation]


def section(case: Case, seeds: Sequence[Measured]) -> str:
    """A table for each ratio, best first, and a sentence that names the best."""
    dense = seeds[0].dense
    unit, scale = ("nats a token", 1) if dense.metric == "perplexity" else ("points", 100)
    mean = value_of(dense.metric, statistics.fmean(losses_of(dense)))
    paragraphs = [f"Dense: {mean} (n = {sample(dense)}, {SPLIT} part)."]
    for ratio in case.ratios:
        recipes = [recipe for at, recipe in seeds[0].found if at == ratio]
        ranked = standings({each: [losses_of(seed.found[ratio, each]) for seed in seeds] for each in recipes})
        rows = [
            (
                f"**{each.recipe}**" if each.recipe == DEFAULT else str(each.recipe),
                f"{value_of(dense.metric, each.loss)} ± {stderr_of(dense.metric, each):.1f}",
                "one seed" if each.spread is None else f"{scale * each.spread:.3f}",
                f"{scale * each.behind:.3f} ± {scale * (each.behind_stderr or 0.0):.3f}"
                if each is not ranked[0]
                else "best",
            )
            for each in ranked
        ]
        names = ("recipe", f"{dense.metric} ± standard error", f"spread over seeds, {unit}", f"behind the best, {unit}")
        paragraphs += [f"{ratio:.0%} removed. {verdict(ranked)}", table(names, rows)]
    return "\n\n".join(paragraphs)


def value_of(metric: str, loss: float) -> str:
    return f"{math.exp(loss):.1f}" if metric == "perplexity" else f"{100 * (1 - loss):.1f} %"


def stderr_of(metric: str, standing: Standing) -> float:
    """Standard error: of the perplexity by the delta method, of the accuracy in points."""
    return math.exp(standing.loss) * standing.stderr if metric == "perplexity" else 100 * standing.stderr


def verdict(ranked: Sequence[Standing]) -> str:
    """Sentence with the best recipe and the rank of the default."""
    default = next((each for each in ranked if each.recipe == DEFAULT), None)
    if default is None or default is ranked[0]:
        return f"Best: {ranked[0].recipe}{', the default' if default else ''}."
    place = "within" if default.is_best else "not within"
    return (
        f"Best: {ranked[0].recipe}; the default ({DEFAULT}) is number {ranked.index(default) + 1} of {len(ranked)} and "
        f"{place} one paired standard error of it."
    )


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", choices=[case.task for case in CASES])
    parser.add_argument("--seeds", type=int, default=1, help="Seeds of calibration text, from 0.")
    parser.add_argument("--limit", type=int, help="Windows or texts of the validation part.")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write replaces the whole section; leave --only out")
    texts = []
    for case in CASES:
        if arguments.only in (None, case.task):
            loaded = load_model(case.model)
            found = [measured(case, seed, CANDIDATES, arguments.limit, loaded) for seed in range(arguments.seeds)]
            texts.append(f"### {case.task.capitalize()}, {case.model}\n\n{section(case, found)}\n")
            print(texts[-1], flush=True)
    if arguments.write:
        seeds = "one seed" if arguments.seeds == 1 else f"{arguments.seeds} seeds"
        head = f"## How the defaults were chosen\n\nEach recipe on the {SPLIT} part, {seeds} of calibration text."
        write("defaults", "\n\n".join([head, *texts]))


if __name__ == "__main__":
    main()
