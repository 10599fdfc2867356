"""The allocation ``checked`` beside the single allocations that it compares: the test metric, and what the comparison costs.

python benchmarks/checked.py            prints the tables (two hours on two cores); exits 1 if checked is more than one paired
                                        standard error behind the best single allocation
python benchmarks/checked.py --write    also puts them into the README, between its markers
python benchmarks/checked.py --only demo/minilm-match    some models
python benchmarks/checked.py --runs F   keeps the runs in the folder F, and does none again that is there
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from liar.cli.startup import settle_threads

settle_threads()

import numpy as np
from figures import CLASSIFIERS, SEEDS, SMOLLM2, change_words, loaded, value
from readme import table, write

from liar import PruneSpec, RunResult, run
from liar.report.compare import slope
from liar.report.paired import stderr_of_sum
from liar.results import Evaluation, Items
from liar.spec import Allocation, Targets
from liar.store import RunStore
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS, Metric, MetricName

SINGLE: tuple[Allocation, ...] = ("uniform", "error-curve", "loss-curve")
MODELS = dict([*CLASSIFIERS, (SMOLLM2, PERPLEXITY.name)])
DRAWS = 20_000
"""Random means from which a probability is read."""

WORK = ("gradients", "calibrate", "allocate", "prune")
"""Stages of a run without loading, reading and measuring."""


@dataclass(frozen=True)
class Compared:
    """Runs of one model at one ratio, by their allocation one for each seed of the calibration text."""

    task: str
    ratio: float
    runs: dict[Allocation, list[RunResult]]

    def of(self, allocation: Allocation) -> list[Evaluation]:
        return [value(run, "reconstructed") for run in self.runs[allocation]]

    def mean(self, allocation: Allocation) -> float:
        return fmean(each.value for each in self.of(allocation))

    @property
    def metric(self) -> Metric:
        return METRICS[self.of("checked")[0].metric]

    @property
    def best(self) -> Allocation:
        """The single allocation with the best mean."""
        return min(SINGLE, key=lambda name: self.metric.loss(0.0, self.mean(name)))

    def loss(self, allocation: Allocation) -> float:
        """What ``checked`` loses beside a single allocation; negative if it is ahead."""
        return self.metric.loss(self.mean(allocation), self.mean("checked"))

    @property
    def is_behind(self) -> bool:
        return self.loss(self.best) > stderr_beside([self], self.best)

    @property
    def chance_behind(self) -> float:
        """How often it would be so if all allocations were equally good: the best one is read from the test items themselves.

        Of means that are drawn from a normal distribution with the covariance of these.
        """
        names: tuple[Allocation, ...] = (*SINGLE, "checked")
        alone = {name: self._variance((name, 1.0)) for name in names}
        covariance = np.array(
            [[(alone[a] + alone[b] - self._variance((a, 1.0), (b, -1.0))) / 2 for b in names] for a in names]
        )
        drawn = np.random.default_rng(0).multivariate_normal(
            np.zeros(len(names)), covariance, DRAWS, check_valid="ignore"
        )
        ahead = drawn[:, :-1] - drawn[:, -1:]
        best = ahead.argmax(axis=1)
        errors = np.array([stderr_beside([self], name) for name in SINGLE])
        return float((ahead[np.arange(DRAWS), best] > errors[best]).mean())

    def _variance(self, *weighted: tuple[Allocation, float]) -> float:
        """Variance of a weighted sum of the means."""
        if len({name for name, _ in weighted}) < len(weighted):
            return 0.0
        parts = [term for name, weight in weighted for term in terms(self.of(name), weight)]
        return stderr(self.metric.name, parts, self.of("checked")[0].n) ** 2


def terms(evaluations: list[Evaluation], weight: float) -> list[tuple[float, Items]]:
    """``weight`` times the mean of ``evaluations`` as a weighted sum over their items."""
    return [(weight * slope(each) / len(evaluations), each.items) for each in evaluations if each.items is not None]


def stderr(metric: MetricName, parts: list[tuple[float, Items]], n: int) -> float:
    return stderr_of_sum(metric, parts, n) or 0.0


def stderr_beside(found: list[Compared], allocation: Allocation) -> float:
    """Paired standard error of the mean difference to a single allocation; all of ``found`` are of the same test items."""
    share = 1 / len(found)
    parts = [
        term for each in found for term in (*terms(each.of("checked"), share), *terms(each.of(allocation), -share))
    ]
    first = found[0].of("checked")[0]
    return stderr(first.metric, parts, first.n)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the calibration text, for classifiers")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="where finished runs are kept")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = RunStore(arguments.runs or Path(folder), shipped=Path(folder) / "none")
        found = [compared(model, ratio, arguments.seeds, store) for model in arguments.only for ratio in (0.5, 0.7)]
    parts = ("### The allocation checked", gains(found), missed(found), on_average(found), candidates(found))
    text = "\n\n".join(part for part in parts if part)
    print(text)
    if arguments.write:
        write("checked", text)
    return int(any(each.is_behind for each in found))


def compared(model: str, ratio: float, seeds: int, store: RunStore) -> Compared:
    targets: Targets = "ffn" if model == SMOLLM2 else "both"
    base = PruneSpec(model=model, ratio=ratio, targets=targets, evaluate=(MODELS[model],), allocation="checked")
    runs: dict[Allocation, list[RunResult]] = {name: [] for name in (*SINGLE, "checked")}
    for seed in range(1 if model == SMOLLM2 else seeds):
        checked = finished(base.model_copy(update={"seed": seed}), store)
        runs["checked"].append(checked)
        for name in SINGLE:
            spec = checked.spec.model_copy(update={"allocation": name})
            is_same = choice(checked) == name  # to the bit, so that it need not be repeated
            runs[name].append(checked if is_same else finished(spec, store))
    found = Compared(MODELS[model], ratio, runs)
    print(found.task, ratio, {name: found.mean(name) for name in runs}, file=sys.stderr, flush=True)
    return found


def finished(spec: PruneSpec, store: RunStore) -> RunResult:
    """The run of ``spec``, done unless it is in ``store``."""
    if (kept := store.find(spec)) is not None:
        return kept
    result = run(spec, loaded(spec.model), dense=dense_of(spec.model, store))
    store.save(result)
    return result


def dense_of(model: str, store: RunStore) -> list[Evaluation]:
    """What is measured of a dense model in any run, so that no other one repeats it."""
    earlier = next((kept for kept in store.runs() if kept.spec.model == model), None)
    return [] if earlier is None else [value(earlier, "dense")]


def choice(checked: RunResult) -> str:
    """The candidate that stayed."""
    return min(checked.checked, key=lambda tried: tried.measured).name


def gains(found: list[Compared]) -> str:
    rows = []
    for each in found:
        words, runs = each.metric.words, each.runs["checked"]
        cells = []
        for name in (*SINGLE, "checked"):
            several = each.of(name)
            error = stderr(several[0].metric, terms(several, 1.0), several[0].n)
            cells.append(f"{words(each.mean(name))} ± {words(error)}")
        change = change_words(each.metric, each.mean(each.best), each.mean("checked"), stderr_beside([each], each.best))
        share = fmean(run.timings["allocate"] / sum(run.timings.get(stage, 0.0) for stage in WORK) for run in runs)
        rows.append(
            (
                each.task,
                f"{each.ratio:.0%}",
                *cells,
                ", ".join(choice(run) for run in runs),
                f"{change} {each.best}",
                f"{share:.0%}",
            )
        )
    head = (
        f"Default recipe, heads and neurons (of SmolLM2: neurons); means of {len(found[0].runs['checked'])} calibration "
        "texts (of SmolLM2: one); ± is one standard error over test items, of a difference the paired one."
    )
    columns = (
        "task",
        "units removed",
        *SINGLE,
        "checked",
        "its choice for each text",
        "beside the best single one",
        "the comparison's share of the run's time",
    )
    return f"{head}\n\n{table(columns, rows)}"


def missed(found: list[Compared]) -> str:
    """In how many comparisons ``checked`` is behind, and in how many it would be by chance."""
    behind = [f"{each.task} at {each.ratio:.0%}" for each in found if each.is_behind]
    chance = sum(each.chance_behind for each in found)
    where = f" ({', '.join(behind)})" if behind else ""
    return (
        f"Behind the best single allocation by more than one paired standard error: in {len(behind)} of {len(found)}{where}. "
        f"If all allocations were equally good, it would be so in {chance:.1f}: which one is best is read from the test items."
    )


def on_average(found: list[Compared]) -> str:
    """What ``checked`` gains beside always the same single allocation, a mean over the tasks of classifiers, in points."""
    by_task: dict[str, list[Compared]] = {}
    for each in found:
        if not each.metric.lower_is_better:
            by_task.setdefault(each.task, []).append(each)
    if not by_task:
        return ""
    words = []
    for name in SINGLE:
        gain = fmean(-each.loss(name) for several in by_task.values() for each in several)
        error = math.hypot(*(stderr_beside(several, name) for several in by_task.values())) / len(by_task)
        words.append(f"{100 * gain:+.2f} ± {100 * error:.2f} beside {name}")
    return f"Mean gain of checked over {len(by_task)} classifiers, in points: {', '.join(words)}."


def candidates(found: list[Compared]) -> str:
    """What the loss curves predict for each candidate beside what was measured on text held back, of the first text."""
    rows = []
    for each in found:
        tried = each.runs["checked"][0].checked
        rows.append(
            (
                each.task,
                f"{each.ratio:.0%}",
                ", ".join(item.name for item in sorted(tried, key=lambda item: item.predicted)),
                "; ".join(f"{item.name} {item.measured:.3g} ({item.predicted:.3g})" for item in tried),
            )
        )
    columns = ("task", "units removed", "best first, as predicted", "measured (predicted) divergence in nats")
    return table(columns, rows)


if __name__ == "__main__":
    sys.exit(main())
