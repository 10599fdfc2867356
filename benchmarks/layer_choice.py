"""Which run of layers goes: the error behind its patch, how far it moves the output of other text, and what it costs.

python benchmarks/layer_choice.py            prints the table (a quarter of an hour on two cores)
python benchmarks/layer_choice.py --write    also puts it into docs/results/budgets.md
"""

from __future__ import annotations

from math import exp

from budgets import PARTS, of_dense, windows_of
from figures import SMOLLM2, finished_run, loaded
from readme import sections, table

from liar import LoadedModel, PruneSpec
from liar.calibration.block_statistics import spans
from liar.calibration.calibrate import read_text
from liar.jobs.stages.layer_removal import cut
from liar.models.loaded import working_copy
from liar.progress import finish
from liar.results import TriedRun
from liar.runtime.memory import PlannedWork
from liar.tasks.splits import Split

RATIOS = (0.1, 0.2)


def section() -> str:
    rows = []
    for ratio in RATIOS:
        spec = PruneSpec.create(model=SMOLLM2, targets="layers", ratio=ratio)
        _, result = finished_run(spec, loaded(SMOLLM2))
        for run in (run for run in result.tried if run.divergence is not None):
            model = shorter(spec, run)
            costs = [cost(model, split) for split in PARTS]
            is_taken = any(site.layer == run.first and not site.kept for site in result.sites)
            name = f"{run.first} to {run.first + run.layers - 1}"
            figures = (f"{run.norm_aware_error:.4f}", f"{run.divergence:.3f}", *costs)
            rows.append((f"**{name}**" if is_taken else name, *figures))
    head = (
        f"{SMOLLM2}: runs of layers whose patch has an error near the least. Error of the residual stream behind them, "
        "norm-aware; how far the output moves on calibration text that no patch has read, in nats; perplexity over dense, the "
        "geometric mean of four texts, one seed. In bold the run that the library takes."
    )
    columns = ("layers", "error behind the patch", "output moves", "validation", "test")
    return f"{head}\n\n{table(columns, rows)}"


def shorter(spec: PruneSpec, run: TriedRun) -> LoadedModel:
    """The dense model without these layers, patched."""
    model = working_copy(loaded(SMOLLM2), PlannedWork.of(spec))
    batches, *_ = finish(read_text(spec, model))
    span = next(spans(model.adapter, batches, [run.layers], before=run.first - 1))
    cut(model.adapter, span, spec.reconstruction, (), None)
    model.adapter.origins = None
    return model


def cost(model: LoadedModel, split: Split) -> str:
    pairs = zip(windows_of(model, split), of_dense(split), strict=True)
    nats = [float((after - before).mean()) for after, before in pairs]
    return f"{exp(sum(nats) / len(nats)):.2f} x"


if __name__ == "__main__":
    sections(__doc__, {"layer_choice": ("Which layers go", section)})
