"""One budget of parameters, spent on several kinds of units: tokens, layers, heads and neurons, on four kinds of text.

    python benchmarks/budgets.py            prints the tables (three hours and a half on two cores)
    python benchmarks/budgets.py --write    also puts them into docs/results/budgets.md
    python benchmarks/budgets.py --only budget_70

The split is chosen by validation windows; test windows, of which no default was chosen, show what it gives.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import exp

import numpy as np
from figures import SEEDS, SMOLLM2, finished_run, loaded
from mixes import TEXTS, TITLES
from readme import sections, table

from liar import LoadedModel, PruneSpec
from liar.evaluate.prepared_task import evaluate
from liar.explore.need import Need
from liar.jobs.meet_need import meet_steps
from liar.progress import finish
from liar.results import Evaluation
from liar.spec import EVALUATION_LENGTH
from liar.tasks.demo import PERPLEXITY
from liar.tasks.splits import Split
from liar.tasks.texts import FILMS, WIKI

SPLITS: Mapping[str, Mapping[str, object]] = {
    "neurons": {},
    "heads and neurons": {"targets": "both"},
    "2 of 30 layers, neurons": {"layers": 0.07},
    "3 of 30 layers, neurons": {"layers": 0.1},
    "4 of 30 layers, neurons": {"layers": 0.13},
    "6 of 30 layers, neurons": {"layers": 0.2},
    "8 of 30 layers, neurons": {"layers": 0.27},
    "36,000 tokens stay, 2 of 30 layers, neurons": {"vocabulary": "36000", "layers": 0.07},
    "28,000 tokens stay, 4 of 30 layers, neurons": {"vocabulary": "28000", "layers": 0.13},
}


@dataclass(frozen=True)
class Budget:
    """A ``share`` of all parameters that is left, the splits that are tried, and the one whose layers are half of what goes."""

    share: float
    splits: tuple[str, ...]
    half: str


BUDGETS = {
    "budget_88": Budget(
        0.88,
        (
            "neurons",
            "heads and neurons",
            "3 of 30 layers, neurons",
            "4 of 30 layers, neurons",
            "36,000 tokens stay, 2 of 30 layers, neurons",
        ),
        "2 of 30 layers, neurons",
    ),
    "budget_80": Budget(
        0.8,
        ("neurons", "heads and neurons", "6 of 30 layers, neurons", "28,000 tokens stay, 4 of 30 layers, neurons"),
        "4 of 30 layers, neurons",
    ),
    "budget_70": Budget(
        0.7,
        (
            "neurons",
            "heads and neurons",
            "3 of 30 layers, neurons",
            "8 of 30 layers, neurons",
            "28,000 tokens stay, 4 of 30 layers, neurons",
        ),
        "6 of 30 layers, neurons",
    ),
}

SEARCHED = "the best on held-back text"

Windows = tuple[np.ndarray, ...]
"""For each text the mean negative log likelihood of each window, in nats."""


@dataclass(frozen=True)
class Spent:
    """What a split leaves, for each seed: ``nats`` above the dense model of each window of each text, by part of the data; its
    ``ratio`` of heads or neurons, None if the seeds differ; share of parameters ``left``, the mean over seeds.
    """

    nats: Mapping[Split, Sequence[Windows]]
    ratio: float | None
    left: float

    def mean(self, split: Split) -> Windows:
        """Over seeds."""
        return tuple(np.mean(each, axis=0) for each in zip(*self.nats[split], strict=True))

    def loss(self, split: Split) -> tuple[float, ...]:
        """Perplexity over dense of each text, and their geometric mean."""
        means = [float(each.mean()) for each in self.mean(split)]
        return (*map(exp, means), exp(sum(means) / len(means)))


PARTS: tuple[Split, ...] = ("validation", "test")


def windows_of(model: LoadedModel, split: Split) -> Windows:
    return tuple(
        nll_of(evaluate(model, PERPLEXITY.name, split=split, data=text.id, sequence_length=EVALUATION_LENGTH))
        for text in TEXTS
    )


def nll_of(evaluation: Evaluation) -> np.ndarray:
    assert evaluation.items is not None
    return np.array(evaluation.items.nll)


@cache
def of_dense(split: Split) -> Windows:
    return windows_of(loaded(SMOLLM2), split)


def spent(share: float, choices: Mapping[str, object]) -> Spent | None:
    """The runs of a split at a budget; None if its tokens and layers alone go beyond it."""
    spec = PruneSpec.create(model=SMOLLM2, **choices)
    spec = finish(meet_steps(Need("parameters", share), spec, loaded(SMOLLM2))).spec
    return lost(spec) if spec.ratio else None


def lost(spec: PruneSpec) -> Spent:
    """The runs of a recipe, one for each seed."""
    nats: dict[Split, list[Windows]] = {split: [] for split in PARTS}
    left = []
    for seed in SEEDS:
        model, result = finished_run(spec.model_copy(update={"seed": seed}), loaded(SMOLLM2))
        left.append(result.totals.parameters_after / result.totals.parameters_before)
        for split in PARTS:
            pairs = zip(windows_of(model, split), of_dense(split), strict=True)
            nats[split].append(tuple(after - before for after, before in pairs))
        print(spec.to_query(), seed, left[-1], [float(each.mean()) for each in nats["test"][-1]], file=sys.stderr)
    return Spent(nats, spec.ratio, float(np.mean(left)))


def searched(found: Mapping[str, Spent]) -> Spent:
    """For each seed the split that loses least on validation windows of the texts that the calibration reads a part of."""

    def held_back(split: Spent, seed: int) -> float:
        own = dict(zip(TEXTS, split.nats["validation"][seed], strict=True))
        return float(np.mean([own[text].mean() for text in (WIKI, FILMS)]))

    taken = [min(found.values(), key=partial(held_back, seed=place)) for place in range(len(SEEDS))]
    nats = {part: [split.nats[part][place] for place, split in enumerate(taken)] for part in PARTS}
    return Spent(nats, None, float(np.mean([split.left for split in taken])))


def gain(found: Spent, beside: Spent) -> str:
    """How the geometric mean of perplexity over dense differs from that of another split, with its paired standard error."""
    changes = [a - b for a, b in zip(found.mean("test"), beside.mean("test"), strict=True)]
    mean = float(np.mean([each.mean() for each in changes]))
    stderr = float(np.sqrt(sum(each.var(ddof=1) / len(each) for each in changes))) / len(changes)
    return f"{100 * (exp(mean) - 1):+.1f} ± {100 * exp(mean) * stderr:.1f} %"


def section(budget: Budget) -> str:
    names = [name for name in SPLITS if name in {*budget.splits, budget.half}]
    found = {name: split for name in names if (split := spent(budget.share, SPLITS[name])) is not None}
    best = min(found, key=lambda name: found[name].loss("validation")[-1])
    found[SEARCHED] = searched({name: split for name, split in found.items() if "vocabulary" not in SPLITS[name]})
    rows = [
        (
            f"**{name}**" if name == best else name,
            "" if split.ratio is None else f"{split.ratio:.0%}",
            f"{split.left:.1%}",
            f"{split.loss('validation')[-1]:.2f} x",
            *(f"{loss:.2f} x" for loss in split.loss("test")),
            *("" if name == other else gain(split, found[other]) for other in ("neurons", budget.half)),
        )
        for name, split in found.items()
    ]
    columns = (
        "removed",
        "ratio",
        "parameters left",
        "validation, geometric mean",
        *TITLES,
        "geometric mean",
        "beside neurons alone",
        f"beside {budget.half}",
    )
    head = (
        f"Perplexity over dense of {PERPLEXITY.count} windows of {EVALUATION_LENGTH} tokens of each text, the default recipe, "
        f"mean over {len(SEEDS)} seeds. In bold the best on validation windows; other columns are of test windows. ± is the "
        "paired standard error over windows. Held back: "
        "validation windows of the two texts that calibrate, for each seed, by which a split without tokens is chosen."
    )
    return f"{head}\n\n{table(columns, rows)}"


if __name__ == "__main__":
    titles = {name: f"SmolLM2-135M, {budget.share:.0%} of all parameters" for name, budget in BUDGETS.items()}
    sections(__doc__, {name: (titles[name], partial(section, budget)) for name, budget in BUDGETS.items()})
