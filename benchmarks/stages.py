"""Stages beyond the error curves, each with its cost and its gain on validation text: which of them an allocation should have.

* ``checked``: the best of four allocations, as the library does it (:mod:`liar.jobs.checked`).
* measured weights: the loss curve of each site times the divergence that its own cut causes alone over the one that the
  curve predicts, one forward of the held-back text for each site.
* swaps: offspring of the best allocation so far move one of 48 levels of two sites against each other at an equal number
  of parameters; one that diverges less replaces its parent (EvoPress, arXiv 2410.14649). Seeded.

    python benchmarks/stages.py            prints the table (half an hour on two cores)
    python benchmarks/stages.py --write    also puts it into the README, between its markers
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from liar.cli.startup import settle_threads

settle_threads()

import numpy as np
from figures import beside, with_error
from readme import sections, table

from liar import PruneSpec, load_model, stream
from liar.calibration.calibrate import steps_of
from liar.calibration.divergences import answers_steps, divergence_steps, pieces_of, restored
from liar.calibration.sample import sample_of
from liar.data.corpora import held_text_steps
from liar.evaluate.tasks import evaluate
from liar.events import Finished
from liar.explore.allocation import Candidate, allocate
from liar.jobs import checked
from liar.jobs.checked import Kept
from liar.progress import finish
from liar.results import Evaluation
from liar.spec import Schedule
from liar.tasks.demo import PERPLEXITY

LEVELS = 48
OFFSPRING = 24
CASES = (
    PruneSpec(model="demo/smollm2-135m", ratio=0.5, allocation="checked", evaluate=(PERPLEXITY.name,)),
    PruneSpec(model="demo/minilm-match", ratio=0.7, targets="both", allocation="checked", evaluate=("match",)),
)


@dataclass(frozen=True)
class Row:
    """A stage: its seconds, the divergence of its choice on held-back text, and what its choice scores in validation."""

    name: str
    seconds: float
    divergence: float
    score: Evaluation


def section() -> str:
    """A table for each case."""
    return "\n\n".join(compared(spec) for spec in CASES)


def compared(spec: PruneSpec) -> str:
    (task,) = spec.evaluate
    rows = stages(spec)
    first = rows[0]
    cells = [
        (
            row.name,
            f"{row.seconds:.0f} s",
            f"{row.divergence:.4f}",
            with_error(row.score),
            "" if row is first else beside(first.score, row.score),
        )
        for row in rows
    ]
    head = (
        f"{spec.model}, {spec.ratio:.0%} removed; a stage's seconds come on top of those of the {first.name}. Validation "
        f"text, n = {first.score.n:,}; ± is one standard error, of a difference the paired one."
    )
    columns = ("stage", "seconds", "divergence in nats", f"{task}, validation", f"beside the {first.name}")
    return f"{head}\n\n{table(columns, cells)}"


class Bench:
    """What the stages share: the model, its calibration by the sample, and the dense answers to the text held back."""

    def __init__(self, spec: PruneSpec) -> None:
        self.spec, self.loaded = spec, load_model(spec.model)
        self.adapter = self.loaded.adapter
        self.sites = self.adapter.sites(spec.targets)
        batches, held, _ = finish(held_text_steps(spec, self.loaded))
        self.sample = sample_of(batches, self.adapter)
        self.calibration = finish(steps_of(spec, self.loaded, sensitivity=True, outputs=True))
        self.pieces = pieces_of(self.adapter, held)
        self.dense = finish(answers_steps(self.adapter, self.pieces))
        self.damages = checked.damages_of(spec, self.adapter, spec.criterion, self.calibration, self.sites)
        self.allocations = checked.allocations_of(spec, self.adapter, self.sites, self.damages)

    def divergence(self, kept: Kept, schedule: Schedule | None = None) -> float:
        """Divergence of the allocation, built as its run builds it."""
        spec = self.spec.model_copy(update={"schedule": schedule or self.spec.schedule})
        with restored(self.adapter, self.sites):
            for _ in checked.built(spec, self.adapter, spec.criterion, self.calibration, self.sample, kept, {}):
                pass
            return finish(divergence_steps(self.adapter, self.pieces, self.dense))

    def score(self, kept: Kept) -> Evaluation:
        """What a run with these counts scores on validation text."""
        edits = tuple(f"{site.name}:ratio={1 - kept[site.name] / site.bundles:.6f}" for site in self.sites)
        *_, last = stream(
            self.spec.model_copy(update={"allocation": "uniform", "edits": edits, "evaluate": ()}), self.loaded
        )
        assert isinstance(last, Finished)
        assert last.model is not None
        return evaluate(last.model, self.spec.evaluate[0], "reconstructed", split="validation")


def stages(spec: PruneSpec) -> list[Row]:
    bench = Bench(spec)
    rows: list[Row] = []

    def add(name: str, choose: Callable[[], Kept]) -> Kept:
        start = time.perf_counter()
        kept = choose()
        seconds = time.perf_counter() - start
        rows.append(Row(name, seconds, bench.divergence(kept), bench.score(kept)))
        print(rows[-1], file=sys.stderr, flush=True)
        return kept

    add("loss-curve", lambda: bench.allocations["loss-curve"])
    best = add("checked", lambda: min(bench.allocations.values(), key=bench.divergence))
    add("measured weights", lambda: by_measured_weights(bench))
    add(f"{OFFSPRING} swaps after checked", lambda: by_swaps(bench, best))
    return rows


def by_measured_weights(bench: Bench) -> Kept:
    """The loss curves, each scaled to the divergence that cutting its site alone to the uniform count causes."""
    whole = {site.name: site.bundles for site in bench.sites}
    candidates = []
    for site in bench.sites:
        count = bench.allocations["uniform"][site.name]
        alone = bench.divergence({**whole, site.name: count}, "one-shot")
        curve = bench.damages["loss-curve"][site.name]
        weighted = curve * (alone / max(float(curve[count]), np.finfo(float).tiny))
        candidates.append(Candidate(site, bench.adapter.bundle_parameters(site), damage=weighted))
    return allocate("loss-curve", candidates, bench.spec.ratio)


def by_swaps(bench: Bench, parent: Kept) -> Kept:
    """The best of a chain of offspring, each with a level of one site given to another of its kind."""
    choose = random.Random(bench.spec.seed)
    least = bench.divergence(parent)
    for _ in range(OFFSPRING):
        giver, taker = choose.sample(bench.sites, 2)
        if giver.kind != taker.kind:
            continue
        level = max(1, giver.bundles // LEVELS)
        child = {**parent, giver.name: parent[giver.name] - level, taker.name: parent[taker.name] + level}
        if child[giver.name] < 1 or child[taker.name] > taker.bundles:
            continue
        if (found := bench.divergence(child)) < least:
            parent, least = child, found
    return parent


if __name__ == "__main__":
    sections(__doc__, {"stages": ("Stages beyond the curves", section)})
