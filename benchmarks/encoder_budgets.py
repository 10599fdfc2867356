"""One budget of parameters of a BERT, spent on tokens, heads and neurons: the five tasks of MiniLM.

    python benchmarks/encoder_budgets.py            prints the table (an hour on two cores)
    python benchmarks/encoder_budgets.py --write    also puts it into docs/results/budgets.md

Whole layers of a BERT cannot go: each normalises the sum that it writes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import hypot
from statistics import fmean
from typing import Any

from figures import CLASSIFIERS, SEEDS, loaded
from readme import sections, table

from liar import PruneSpec, run
from liar.errors import InvalidSpecError
from liar.explore.need import Need
from liar.jobs.meet_need import meet_steps
from liar.models.loaded import parameter_count
from liar.progress import finish
from liar.results import Evaluation
from liar.statistics.compare import difference
from liar.tasks.metrics import METRICS

SHARES = (0.9, 0.8, 0.7)
"""Shares of all parameters that are left."""
SPLITS: Mapping[str, tuple[float, Mapping[str, Any]]] = {
    "neurons": (0.0, {}),
    "heads and neurons": (0.0, {"targets": "both"}),
    "half tokens, half heads and neurons": (0.5, {"targets": "both"}),
    "tokens": (1.0, {"targets": "both"}),
}
"""The share of the budget that is taken from the vocabulary, and the choices of the recipe."""


def section() -> str:
    rows = []
    for share in SHARES:
        for name, (tokens, choices) in SPLITS.items():
            found = [changes(model, task, share, tokens, choices) for model, task in CLASSIFIERS]
            if all(found):
                means = [f"{points(each)}" for each in found if each]
                rows.append((f"{share:.0%}", name, *means, points([mean_of([each for each in found if each])])))
    head = (
        "Change of the metric beside the dense model, in points ± the paired standard error, the default recipe, mean over "
        f"{len(SEEDS)} seeds, test texts. Of the tokens the most frequent ones of the task's own training texts stay. A split "
        "that cannot leave so little has no row."
    )
    return (
        f"{head}\n\n{table(('parameters left', 'removed', *(task for _, task in CLASSIFIERS), 'mean of five'), rows)}"
    )


Change = tuple[float, float]
"""In points, with its paired standard error."""


def changes(model: str, task: str, share: float, tokens: float, choices: Mapping[str, Any]) -> list[Change] | None:
    """One for each seed; None if the split cannot leave so little."""
    dense = loaded(model)
    config, gone = dense.model.config, tokens * (1 - share) * parameter_count(dense.model)
    kept = round(config.vocab_size - gone / config.hidden_size)
    spec = PruneSpec.create(model=model, evaluate=(task,), vocabulary=str(kept) if tokens else None, **choices)
    try:
        spec = spec.at(0.0) if tokens == 1 else finish(meet_steps(Need("parameters", share), spec, dense)).spec
    except InvalidSpecError as error:
        print(share, tokens, choices, error, file=sys.stderr)
        return None
    return [change(run(spec.model_copy(update={"seed": seed}), dense).evaluations) for seed in SEEDS]


def change(evaluations: list[Evaluation]) -> Change:
    of = {item.variant: item for item in evaluations}
    found, scale = difference(of["dense"], of["reconstructed"]), METRICS[of["dense"].metric].scale
    print(of["dense"].task, found.change, found.stderr, file=sys.stderr)
    return scale * found.change, scale * (found.stderr or 0.0)


def points(seeds: list[Change]) -> str:
    """The mean; its error is the mean of those of the seeds, which share their texts."""
    return f"{fmean(value for value, _ in seeds):+.1f} ± {fmean(stderr for _, stderr in seeds):.1f}"


def mean_of(tasks: list[list[Change]]) -> Change:
    means = [(fmean(value for value, _ in each), fmean(stderr for _, stderr in each)) for each in tasks]
    return fmean(value for value, _ in means), hypot(*(stderr for _, stderr in means)) / len(means)


if __name__ == "__main__":
    sections(__doc__, {"budget_minilm": ("MiniLM, five tasks", section)})
