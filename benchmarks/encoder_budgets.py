"""One budget of parameters of a BERT, spent on tokens, heads and neurons: the five tasks of MiniLM.

    python benchmarks/encoder_budgets.py            prints the table (an hour on two cores)
    python benchmarks/encoder_budgets.py --write    also puts it into docs/results/budgets.md

Whole layers of a BERT cannot go: each normalises the sum that it writes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import hypot
from statistics import fmean
from typing import Any

from figures import CLASSIFIERS, SEEDS, finished_run, loaded
from readme import sections, table

from liar import PruneSpec
from liar.errors import InvalidSpecError
from liar.evaluate.prepared_task import evaluate
from liar.explore.need import Need
from liar.jobs.meet_need import meet_steps
from liar.models.loaded import parameter_count
from liar.progress import finish
from liar.results import Evaluation
from liar.statistics.compare import difference
from liar.tasks.splits import Split

SHARES = (0.9, 0.8, 0.7)
"""Shares of all parameters that are left."""
SPLITS: Mapping[str, tuple[float, Mapping[str, Any]]] = {
    "neurons": (0.0, {}),
    "heads and neurons": (0.0, {"targets": "both"}),
    "half tokens, half heads and neurons": (0.5, {"targets": "both"}),
    "tokens": (1.0, {"targets": "both"}),
}
"""The share of the budget that is taken from the vocabulary, and the choices of the recipe."""
FIXED = "half tokens, half heads and neurons"
SEARCHED = "the best on validation texts"
LIMIT: Mapping[Split, int | None] = {"validation": 400, "test": None}


@dataclass(frozen=True)
class Outcome:
    """What a run is worth: its metric on ``validation`` texts, and on ``test`` texts beside that of the ``dense`` model."""

    validation: float
    test: Evaluation
    dense: Evaluation


Runs = Sequence[Sequence[Outcome]]
"""For each task those of all seeds."""


def section() -> str:
    rows = []
    for share in SHARES:
        found: dict[str, Runs] = {}
        for name, (tokens, choices) in SPLITS.items():
            tasks = [outcomes(model, task, share, tokens, choices) for model, task in CLASSIFIERS]
            if all(tasks):
                found[name] = tasks
        best = max(found, key=lambda name: fmean(each.validation for task in found[name] for each in task))
        found[SEARCHED] = searched(list(found.values()))
        for name, runs in found.items():
            beside_dense = [mean([(each.dense, each.test) for each in task]) for task in runs]
            beside_fixed = [
                mean([(a.test, b.test) for a, b in zip(fixed, task, strict=True)])
                for fixed, task in zip(found[FIXED], runs, strict=True)
            ]
            figures = [*map(points, beside_dense), points(over_tasks(beside_dense))]
            beside = "" if name == FIXED else points(over_tasks(beside_fixed))
            rows.append((f"{share:.0%}", f"**{name}**" if name == best else name, *figures, beside))
    head = (
        "Change of the metric beside the dense model, in points ± the paired standard error, the default recipe, mean over "
        f"{len(SEEDS)} seeds, test texts. In bold the best on validation texts; {SEARCHED}: chosen for each task and seed. Of "
        "the tokens the most frequent ones of the task's own training texts stay. A split that cannot leave so "
        "little has no row."
    )
    columns = ("parameters left", "removed", *(task for _, task in CLASSIFIERS), "mean of five", f"beside {FIXED}")
    return f"{head}\n\n{table(columns, rows)}"


def outcomes(model: str, task: str, share: float, tokens: float, choices: Mapping[str, Any]) -> list[Outcome]:
    """One for each seed; none if the split cannot leave so little."""
    dense = loaded(model)
    config, gone = dense.model.config, tokens * (1 - share) * parameter_count(dense.model)
    kept = round(config.vocab_size - gone / config.hidden_size)
    spec = PruneSpec.create(model=model, vocabulary=str(kept) if tokens else None, **choices)
    try:
        spec = spec.at(0.0) if tokens == 1 else finish(meet_steps(Need("parameters", share), spec, dense)).spec
    except InvalidSpecError as error:
        print(share, tokens, choices, error, file=sys.stderr)
        return []
    if not spec.ratio:
        return [outcome(spec, task)] * len(SEEDS)  # nothing is drawn
    return [outcome(spec.model_copy(update={"seed": seed}), task) for seed in SEEDS]


def outcome(spec: PruneSpec, task: str) -> Outcome:
    model, _ = finished_run(spec, loaded(spec.model))
    validation, test = (evaluate(model, task, split=split, limit=LIMIT[split]) for split in LIMIT)
    print(spec.to_query(), validation.value, difference(of_dense(spec.model, task), test), file=sys.stderr, flush=True)
    return Outcome(validation.value, test, of_dense(spec.model, task))


@cache
def of_dense(model: str, task: str) -> Evaluation:
    return evaluate(loaded(model), task)


def searched(splits: Sequence[Runs]) -> Runs:
    """For each task and seed the run with the best metric on validation texts."""
    return [
        [max(seed, key=lambda each: each.validation) for seed in zip(*task, strict=True)]
        for task in zip(*splits, strict=True)
    ]


Change = tuple[float, float]
"""In points, hundredths of a metric, with its paired standard error."""


def mean(pairs: Sequence[tuple[Evaluation, Evaluation]]) -> Change:
    """The mean change over seeds; its error is the mean of those of the seeds, which share their texts."""
    changes = [difference(*pair) for pair in pairs]
    return 100 * fmean(each.change for each in changes), 100 * fmean(each.stderr or 0.0 for each in changes)


def over_tasks(changes: Sequence[Change]) -> Change:
    return fmean(value for value, _ in changes), hypot(*(stderr for _, stderr in changes)) / len(changes)


def points(change: Change) -> str:
    return "{:+.1f} ± {:.1f}".format(*change)


if __name__ == "__main__":
    sections(__doc__, {"budget_minilm": ("MiniLM, five tasks", section)})
