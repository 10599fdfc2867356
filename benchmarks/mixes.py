"""SmolLM2 on four kinds of text: the calibration texts compared on validation windows, and the default on test windows.

python benchmarks/mixes.py            prints the tables (an hour and a half on two cores)
python benchmarks/mixes.py --write    also puts them into docs/results, between their markers
python benchmarks/mixes.py --only default    one of the two

Editorials and product reviews are never in a default calibration text.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from itertools import product

from figures import SMOLLM2, finished_run, loaded, seconds_of_work
from readme import sections, table

from liar import LoadedModel, PruneSpec
from liar.evaluate.prepared_task import evaluate
from liar.report.words.sentences import calibrated_on
from liar.spec import EVALUATION_LENGTH
from liar.tasks.demo import PERPLEXITY
from liar.tasks.mixes import RUNNING_TEXT
from liar.tasks.splits import Split
from liar.tasks.texts import EDITORIALS, FILMS, PRODUCTS, WIKI

TEXTS = (WIKI, FILMS, EDITORIALS, PRODUCTS)
RATIOS = (0.2, 0.5)
SEEDS = (0, 1, 2)
MIXED = ("3 wiki + films", "2 wiki + films", "wiki + films", "4 wiki + films + self", "wiki + films + self")
MIXES = ("wiki", *MIXED, "self")
HEAD = (
    f"Perplexity over dense of {PERPLEXITY.count} windows of {EVALUATION_LENGTH} tokens of each text, "
    f"{PruneSpec().criterion}, {PruneSpec().allocation}, {PruneSpec().schedule}."
)


@dataclass(frozen=True)
class Outcome:
    """Perplexity over dense on each of :data:`TEXTS`; ``read`` says what was calibrated on, in ``seconds`` of pruning."""

    losses: tuple[float, ...]
    read: str
    tokens: int
    seconds: float

    @property
    def mean(self) -> float:
        """Geometric mean over the texts."""
        return statistics.geometric_mean(self.losses)


def perplexities(model: LoadedModel, split: Split) -> tuple[float, ...]:
    return tuple(
        evaluate(model, PERPLEXITY.name, split=split, data=text.id, sequence_length=EVALUATION_LENGTH).value
        for text in TEXTS
    )


def outcome(spec: PruneSpec, dense: tuple[float, ...], split: Split) -> Outcome:
    model, result = finished_run(spec, loaded(SMOLLM2))
    assert result.calibration is not None
    losses = tuple(after / before for after, before in zip(perplexities(model, split), dense, strict=True))
    found = Outcome(losses, calibrated_on(result) or "", result.calibration.tokens, seconds_of_work(result))
    print(spec.calibration, spec.ratio, spec.seed, found, file=sys.stderr, flush=True)
    return found


def mixes() -> str:
    """Every calibration text on validation windows, one seed."""
    dense = perplexities(loaded(SMOLLM2), "validation")
    rows = []
    for ratio, name in product(RATIOS, MIXES):
        found = outcome(PruneSpec(model=SMOLLM2, ratio=ratio, calibration=name), dense, "validation")
        losses = (f"{loss:.2f} x" for loss in (*found.losses, found.mean))
        title = f"**{name}**" if name == RUNNING_TEXT else name
        rows.append((f"{ratio:.0%}", title, f"{found.tokens:,}", *losses, f"{found.seconds:.0f} s"))
    columns = ("neurons removed", "calibration text", "tokens", *TITLES, "geometric mean", "took")
    head = f"{HEAD} Validation windows, one seed; the default in bold."
    return f"{head}\n\n{table(columns, rows)}"


TITLES = tuple(text.title for text in TEXTS)


def default() -> str:
    """The default on test windows, three seeds."""
    dense = perplexities(loaded(SMOLLM2), "test")
    rows: list[tuple[str, ...]] = []
    read = ""
    for ratio in RATIOS:
        found = [outcome(PruneSpec(model=SMOLLM2, ratio=ratio, seed=seed), dense, "test") for seed in SEEDS]
        read = found[0].read
        lines = list(
            zip(TITLES, map("{:.1f}".format, dense), zip(*(each.losses for each in found), strict=True), strict=True)
        )
        for title, before, losses in [*lines, ("geometric mean", "", tuple(each.mean for each in found))]:
            mean = f"{statistics.mean(losses):.2f} ± {statistics.stdev(losses):.2f} x"
            rows.append((f"{ratio:.0%}", title, before, *(f"{loss:.2f} x" for loss in losses), mean))
    columns = ("neurons removed", "text", "dense", *(f"seed {seed}" for seed in SEEDS), "mean")
    return f"{HEAD} {read} Test windows; mean and standard deviation over seeds of the text.\n\n{table(columns, rows)}"


if __name__ == "__main__":
    found = {
        "default": ("SmolLM2-135M, FFN neurons, the default recipe", default),
        "mixes": ("SmolLM2-135M, the calibration text", mixes),
    }
    sections(__doc__, found)
