"""The paper's models and tasks at half of the units: its repair beside our default recipe, in one table.

    python benchmarks/paper.py                      every model; downloads models and data, and takes hours
    python benchmarks/paper.py --only bert squad    models with one of these words in their id
    python benchmarks/paper.py --limit 500          the first items of each task alone

Every finished run is kept where `liar prune` keeps its runs, so a second call measures only what is missing, and the page
opens them. The paper's column is its reconstruction (liar) with the same ratio everywhere and the criterion of fluctuations,
one-shot; both are calibrated on the same text. The paper's own tables are of other windows and revisions, and are not quoted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from huggingface_hub import HfApi
from readme import table

from liar import PruneSpec, RunResult
from liar.cli.prune import watched_run
from liar.errors import LiarError
from liar.loading.source import conversion_of, find_model
from liar.report.words.metric_sentences import metric_change, sample, with_error
from liar.spec import Targets
from liar.store import RunStore
from liar.tasks.demo import PERPLEXITY
from liar.tasks.metrics import METRICS
from liar.tasks.published import COMMON_SENSE

RATIO = 0.5
WIKITEXT = "Salesforce/wikitext:wikitext-2-raw-v1"
LENGTHS = (128, 2048)
"""Tokens of a window of WikiText-2."""

_BERT = "yoshitomo-matsubara/bert-base-uncased"


@dataclass(frozen=True)
class Row:
    """A model, the tasks that measure one run of it, and its calibration text."""

    model: str
    tasks: tuple[str, ...]
    calibration: str
    targets: Targets = "both"
    length: int | None = None

    def specs(self, model: str, limit: int | None, data: str | None) -> dict[str, PruneSpec]:
        """The paper's repair and our recipe, of ``model``, an id with its revision."""
        is_text = self.tasks == (PERPLEXITY.name,)
        ours = PruneSpec.create(
            model=model,
            targets=self.targets,
            ratio=RATIO,
            calibration=self.calibration,
            separator="blank-line" if self.calibration == WIKITEXT else "auto",
            evaluate=self.tasks,
            evaluate_length=self.length,
            evaluate_limit=limit,
            data=WIKITEXT if is_text else data,
        )
        paper = {"criterion": "fluctuation", "allocation": "uniform", "reconstruction": "liar", "schedule": "one-shot"}
        return {"paper": ours.model_copy(update=paper), "ours": ours}


def _language(model: str) -> Iterator[Row]:
    for length in LENGTHS:
        yield Row(model, (PERPLEXITY.name,), WIKITEXT, length=length)
    yield Row(model, tuple(task.name for task in COMMON_SENSE), WIKITEXT)


ROWS: tuple[Row, ...] = (
    *(Row(f"{_BERT}-{task}", (task,), task) for task in ("cola", "sst2", "mrpc", "stsb", "qqp")),
    Row(f"{_BERT}-mnli", ("mnli", "mnli-mm"), "mnli"),
    *(Row(f"{_BERT}-{task}", (task,), task) for task in ("qnli", "rte")),
    Row("csarron/bert-base-uncased-squad-v1", ("squad",), "squad"),
    *(
        row
        for model in (
            "HuggingFaceTB/SmolLM2-360M",
            "HuggingFaceTB/SmolLM2-1.7B",
            "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
            "meta-llama/Llama-2-7b-hf",
        )
        for row in _language(model)
    ),
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="models with one of these in their id")
    parser.add_argument("--limit", type=int, help="items or windows of each task; by default those of `liar evaluate`")
    parser.add_argument("--data", help="folder with copies of the datasets of GLUE, SQuAD and common sense")
    arguments = parser.parse_args(words)
    rows = [row for row in ROWS if any(word.lower() in row.model.lower() for word in arguments.only)]
    if not rows:
        print(f"No model has {' or '.join(map(repr, arguments.only))} in its id.", file=sys.stderr)
        return 2
    found: list[tuple[str, ...]] = []
    failures: list[str] = []
    for row in rows:
        try:
            found += measured(row, arguments.limit, arguments.data)
        except LiarError as error:  # the other models may still be there
            failures.append(f"{row.model}: {error}")
            print(failures[-1], file=sys.stderr, flush=True)
    if found:
        print(report(found))
    return 1 if failures else 0


def measured(row: Row, limit: int | None, data: str | None) -> list[tuple[str, ...]]:
    """Lines of the table for a row; runs that are kept are taken from the store.

    Raises :class:`liar.errors.LiarError` if model or data are out of reach; what is finished is kept.
    """
    model, store = pinned(row.model), RunStore()
    runs: dict[str, RunResult] = {}
    for name, spec in row.specs(model, limit, data).items():
        kept = store.find(spec)
        if kept is None:
            print(f"{row.model}, {', '.join(row.tasks)}, {name}", file=sys.stderr)
            kept = watched_run(spec).result  # its bar is on stderr
            store.save(kept)
        runs[name] = kept
    return [line for task in row.tasks for line in lines(model, task, runs)]


def pinned(model: str) -> str:
    """``model@commit`` of today's main branch, or of the pull request that offers its weights as safetensors.

    Raises :class:`liar.errors.ModelNotFoundError` if the hub has no such model, or is out of reach.
    """
    source = find_model(model)
    if source.local_only:  # in the cache of a hub that is out of reach
        return model
    info = HfApi().model_info(source.path, revision=source.revision)
    if any(file.rfilename.endswith(".safetensors") for file in info.siblings or ()):
        return f"{source.path}@{info.sha}"
    return conversion_of(source) or f"{source.path}@{info.sha}"


def lines(model: str, task: str, runs: dict[str, RunResult]) -> Iterator[tuple[str, ...]]:
    """A line for each metric of a task."""
    of = {name: {item.variant: item for item in run.evaluations if item.task == task} for name, run in runs.items()}
    mine, theirs = of["ours"], of["paper"]
    figures = (mine["dense"], mine["pruned"], theirs["reconstructed"], mine["reconstructed"])
    for dense, pruned, paper, ours in zip(*(item.figures for item in figures), strict=True):
        cells = (with_error(item) for item in (dense, pruned, paper, ours))
        title = METRICS[dense.metric].title_of(task)
        yield model, title, sample(dense), dense.split or "", *cells, metric_change(paper, ours)


def report(found: Sequence[tuple[str, ...]]) -> str:
    head = (
        f"{RATIO:.0%} of heads and neurons removed. ± is one standard error; the difference is ours less the paper's."
    )
    where = ("model at revision", "metric", "measured on", "part")
    columns = (*where, "dense", "not repaired", "the paper's repair", "ours", "difference")
    return f"{head}\n\n{table(columns, found)}"


if __name__ == "__main__":
    sys.exit(main())
