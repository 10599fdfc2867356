"""The schedule corrective, which is the default, beside sequential: test metrics with paired differences, and seconds.

python benchmarks/corrective.py            prints the table (half an hour on two cores)
python benchmarks/corrective.py --write    also puts it into docs/results/defaults.md, between its markers
python benchmarks/corrective.py --only demo/minilm-match    some models
"""

from __future__ import annotations

import argparse
import sys

from liar.cli.startup import settle_threads

settle_threads()

from figures import MODELS, SMOLLM2, WORK, beside, measured, value_of, with_error
from readme import table, write

from liar import PruneSpec, RunResult
from liar.spec import Schedule
from liar.tasks.registry import usual_tasks

SCHEDULES: tuple[Schedule, ...] = ("sequential", "corrective")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    rows = [row for model in arguments.only for ratio in ratios(model) for row in compared(model, ratio)]
    columns = ("measured on", "units removed", "dense", *SCHEDULES, "corrective beside sequential", "seconds of each")
    head = "Default recipe, heads and neurons (of SmolLM2: neurons); ± is one standard error, of a difference the paired one."
    text = f"## Making up for what is lost already\n\n{head}\n\n{table(columns, rows)}"
    print(text)
    if arguments.write:
        write("corrective", text)


def ratios(model: str) -> tuple[float, ...]:
    return (0.2, 0.5) if model == SMOLLM2 else (0.5, 0.7)


def compared(model: str, ratio: float) -> list[tuple[str, ...]]:
    """A row for each task that is measured."""
    tasks = usual_tasks(MODELS[model]) if model == SMOLLM2 else (MODELS[model],)
    base = PruneSpec(model=model, ratio=ratio, targets="ffn" if model == SMOLLM2 else "both", evaluate=tasks)
    runs = {name: measured(base.model_copy(update={"schedule": name})) for name in SCHEDULES}
    rows = []
    for task in tasks:
        found = [value_of(run, task, "reconstructed") for run in runs.values()]
        dense = value_of(runs["sequential"], task, "dense")
        seconds = " / ".join(f"{took(run):.0f}" for run in runs.values())
        rows.append((task, f"{ratio:.0%}", *map(with_error, (dense, *found)), beside(*found), seconds))
        print(*rows[-1], file=sys.stderr, flush=True)
    return rows


def took(run: RunResult) -> float:
    """Seconds without loading, reading and measuring."""
    return sum(seconds for stage, seconds in run.timings.items() if stage in WORK)


if __name__ == "__main__":
    main()
