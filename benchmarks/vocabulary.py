"""What a smaller vocabulary gives and costs: an embedder for the texts of its own domain, with and without half of its units.

python benchmarks/vocabulary.py            prints the table (twenty minutes on two cores)
python benchmarks/vocabulary.py --write    also puts it into docs/results/budgets.md
"""

from __future__ import annotations

from collections.abc import Sequence

from embedders import MINILM, SEARCH
from figures import loaded
from readme import sections, table

from liar import PruneSpec, run
from liar.presets import OF_AN_EMBEDDER
from liar.report.words.metric_sentences import with_error
from liar.results import Evaluation, Quartiles, RunResult
from liar.statistics.compare import difference
from liar.tasks.metrics import METRICS

TASKS = (SEARCH, "embedding", "embedding-films")
CASES: tuple[tuple[str | None, float], ...] = (
    ("16000", 0.0),
    ("8000", 0.0),
    (None, 0.5),
    ("16000", 0.5),
    ("8000", 0.5),
)
"""Vocabulary, and share of heads and neurons that goes."""


def section() -> str:
    results = [made(vocabulary, ratio) for vocabulary, ratio in CASES]
    first = results[0]
    parameters = first.totals.parameters_before
    dense = (
        "none",
        "0%",
        f"{parameters * 4 / 1e6:.1f}",
        "1.0 x",
        "",
        *(with_error(of(first, "dense", name)) for name in TASKS),
    )
    rows = [dense, *(cells(result) for result in results)]
    columns = ("tokens kept", "heads and neurons", "MB", "one text", "in pieces: " + ", ".join(texts(first)), *TASKS)
    n = ", ".join(f"{of(first, 'dense', name).n:,}" for name in TASKS)
    head = (
        f"{MINILM}, the default recipe; the most frequent tokens of its calibration text stay. Test texts (n = {n}): nDCG@10 "
        "of a search, and cosine to the vector of the dense one; behind the first the change ± its paired standard error. In "
        "pieces: the share of tokens of held-out texts that went. One text: times as fast as the dense model, in turns, with "
        "quartiles."
    )
    return f"{head}\n\n{table(columns, rows)}"


def made(vocabulary: str | None, ratio: float) -> RunResult:
    spec = PruneSpec(
        model=MINILM,
        targets="both",
        ratio=ratio,
        vocabulary=vocabulary,
        allocation=OF_AN_EMBEDDER,
        evaluate=TASKS,
    )
    return run(spec, loaded(MINILM))


def of(result: RunResult, variant: str, task: str) -> Evaluation:
    return next(item for item in result.evaluations if (item.variant, item.task) == (variant, task))


def texts(result: RunResult) -> Sequence[str]:
    return [] if result.vocabulary is None else list(result.vocabulary.split)


def cells(result: RunResult) -> tuple[str, ...]:
    report = result.vocabulary
    whole, smaller = (of(result, variant, SEARCH) for variant in ("dense", "reconstructed"))
    changed = difference(whole, smaller)
    points = METRICS[smaller.metric].scale
    search = f"{with_error(smaller)}, {points * changed.change:+.1f} ± {points * (changed.stderr or 0):.1f}"
    speed: Quartiles = next(
        gain.gain for gain in result.gains if (gain.than, gain.variant) == ("dense", "reconstructed")
    )
    return (
        "all" if report is None else f"{report.kept:,} of {report.tokens:,}",
        f"{result.spec.ratio:.0%}",
        f"{result.totals.parameters_after * 4 / 1e6:.1f}",
        f"{speed.median:.2f} x ({speed.lower:.2f} to {speed.upper:.2f})",
        "" if report is None else ", ".join(f"{100 * share:.1f} %" for share in report.split.values()),
        search,
        *(with_error(of(result, "reconstructed", name)) for name in TASKS[1:]),
    )


if __name__ == "__main__":
    sections(__doc__, {"vocabulary": ("A vocabulary for the texts of an embedder", section)})
