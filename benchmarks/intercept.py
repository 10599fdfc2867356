"""Repairs without an intercept, which add no bias, beside those with one: perplexity with paired differences.

python benchmarks/intercept.py            prints the table (a quarter of an hour on two cores)
python benchmarks/intercept.py --write    also puts it into docs/choices.md, between its markers
"""

from __future__ import annotations

import sys

from figures import MODELS, SMOLLM2, beside, measured
from readme import command_line, show, table

from liar import PruneSpec
from liar.course.figures import evaluation_of
from liar.report.words.metric_sentences import with_error
from liar.tasks.registry import usual_tasks

RATIOS = (0.2, 0.5)


def main() -> None:
    arguments = command_line(__doc__).parse_args()
    rows = [row for ratio in RATIOS for row in compared(ratio)]
    columns = ("measured on", "neurons removed", "dense", "with", "without", "without beside with")
    head = f"{SMOLLM2}, default recipe; ± is one standard error, of a difference the paired one."
    show("intercept", f"{head}\n\n{table(columns, rows)}", arguments.write)


def compared(ratio: float) -> list[tuple[str, ...]]:
    """A row for each text that is measured."""
    tasks = usual_tasks(MODELS[SMOLLM2])
    base = PruneSpec(model=SMOLLM2, ratio=ratio, evaluate=tasks)
    runs = [measured(base.model_copy(update={"intercept": intercept})) for intercept in (True, False)]
    rows = []
    for task in tasks:
        found = [evaluation_of(run, "reconstructed", task) for run in runs]
        dense = evaluation_of(runs[0], "dense", task)
        rows.append((task, f"{ratio:.0%}", *map(with_error, (dense, *found)), beside(*found)))
        print(*rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
