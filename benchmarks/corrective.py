"""The schedule corrective, which is the default, beside sequential: test metrics with paired differences, and seconds.

python benchmarks/corrective.py            prints the table (half an hour on two cores)
python benchmarks/corrective.py --write    also puts it into docs/results/defaults.md, between its markers
python benchmarks/corrective.py --only demo/minilm-match    some models
"""

from __future__ import annotations

import sys

from figures import MODELS, SMOLLM2, beside, measured, seconds_of_work
from readme import command_line, show, table

from liar import PruneSpec
from liar.course.figures import evaluation_of
from liar.report.words.metric_sentences import with_error
from liar.spec import Schedule
from liar.tasks.registry import usual_tasks

SCHEDULES: tuple[Schedule, ...] = ("sequential", "corrective")


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS), metavar="MODEL")
    arguments = parser.parse_args()
    rows = [row for model in arguments.only for ratio in ratios(model) for row in compared(model, ratio)]
    columns = ("measured on", "units removed", "dense", *SCHEDULES, "corrective beside sequential", "seconds of each")
    head = "Default recipe, heads and neurons (of SmolLM2: neurons); ± is one standard error, of a difference the paired one."
    text = f"## Making up for what is lost already\n\n{head}\n\n{table(columns, rows)}"
    show("corrective", text, arguments.write)


def ratios(model: str) -> tuple[float, ...]:
    return (0.2, 0.5) if model == SMOLLM2 else (0.5, 0.7)


def compared(model: str, ratio: float) -> list[tuple[str, ...]]:
    """A row for each task that is measured."""
    tasks = usual_tasks(MODELS[model]) if model == SMOLLM2 else (MODELS[model],)
    base = PruneSpec(model=model, ratio=ratio, targets="ffn" if model == SMOLLM2 else "both", evaluate=tasks)
    runs = {name: measured(base.model_copy(update={"schedule": name})) for name in SCHEDULES}
    rows = []
    for task in tasks:
        found = [evaluation_of(run, "reconstructed", task) for run in runs.values()]
        dense = evaluation_of(runs["sequential"], "dense", task)
        seconds = " / ".join(f"{seconds_of_work(run):.0f}" for run in runs.values())
        rows.append((task, f"{ratio:.0%}", *map(with_error, (dense, *found)), beside(*found), seconds))
        print(*rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
