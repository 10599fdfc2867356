"""The allocation ``checked`` beside the single allocations that it compares: the test metric, and what the comparison costs.

python benchmarks/checked.py            prints the tables (40 minutes on two cores); exits 1 if checked is more than one paired
                                        standard error behind the best single allocation
python benchmarks/checked.py --write    also puts them into the README, between its markers
python benchmarks/checked.py --only demo/minilm-match    some models
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from liar.cli.startup import quiet_libraries, settle_threads

settle_threads()
quiet_libraries()

from figures import CLASSIFIERS, SMOLLM2, beside, measured, value, with_error
from readme import table, write

from liar import PruneSpec, RunResult
from liar.report.compare import difference
from liar.results import Evaluation
from liar.spec import Allocation
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS

SINGLE: tuple[Allocation, ...] = ("uniform", "error-curve", "loss-curve")
MODELS = dict([*CLASSIFIERS, (SMOLLM2, PERPLEXITY.name)])
WORK = ("gradients", "calibrate", "allocate", "prune")
"""Stages of a run without loading, reading and measuring."""


@dataclass(frozen=True)
class Compared:
    """Runs of one model at one ratio by their allocation."""

    task: str
    ratio: float
    runs: dict[Allocation, RunResult]

    @property
    def best(self) -> Allocation:
        """The best single allocation."""
        metric = METRICS[value(self.runs["checked"], "dense").metric]
        sign = -1 if metric.lower_is_better else 1
        return max(SINGLE, key=lambda name: sign * self.of(name).value)

    def of(self, allocation: Allocation) -> Evaluation:
        return value(self.runs[allocation], "reconstructed")

    @property
    def is_behind(self) -> bool:
        found = difference(self.of(self.best), self.of("checked"))
        loss = METRICS[self.of("checked").metric].loss(self.of(self.best).value, self.of("checked").value)
        return loss > 0 and abs(found.change) > (found.stderr or 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found = [compared(model, ratio) for model in arguments.only for ratio in (0.5, 0.7)]
    text = f"### The allocation checked\n\n{gains(found)}\n\n{candidates(found)}"
    print(text)
    if arguments.write:
        write("checked", text)
    return int(any(each.is_behind for each in found))


def compared(model: str, ratio: float) -> Compared:
    base = PruneSpec(model=model, ratio=ratio, targets="ffn" if model == SMOLLM2 else "both", evaluate=(MODELS[model],))
    names: tuple[Allocation, ...] = (*SINGLE, "checked")
    runs = {name: measured(base.model_copy(update={"allocation": name})) for name in names}
    print(MODELS[model], ratio, file=sys.stderr, flush=True)
    return Compared(MODELS[model], ratio, runs)


def gains(found: list[Compared]) -> str:
    rows = []
    for each in found:
        run = each.runs["checked"]
        chosen = min(run.checked, key=lambda tried: tried.measured).name
        cells = [with_error(each.of(name)) for name in SINGLE]
        seconds = sum(seconds for stage, seconds in run.timings.items() if stage in WORK)
        rows.append(
            (
                each.task,
                f"{each.ratio:.0%}",
                *cells,
                f"{with_error(each.of('checked'))}: {chosen}",
                f"{beside(each.of(each.best), each.of('checked'))} {each.best}",
                f"{run.timings['allocate']:.0f} of {seconds:.0f} s",
            )
        )
    head = "Default recipe, heads and neurons (of SmolLM2: neurons); ± is one standard error, of a difference the paired one."
    columns = (
        "task",
        "units removed",
        *SINGLE,
        "checked: its choice",
        "beside the best single one",
        "the comparison took",
    )
    return f"{head}\n\n{table(columns, rows)}"


def candidates(found: list[Compared]) -> str:
    """What the loss curves predict for each candidate beside what was measured on text held back."""
    rows = []
    for each in found:
        tried = each.runs["checked"].checked
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
