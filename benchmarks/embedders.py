"""What an embedder loses, by the default recipe and by others, on texts that no recipe was chosen on.

    python benchmarks/embedders.py            prints the tables (an hour on two cores)
    python benchmarks/embedders.py --write    also writes them into docs/results/embedders.md

Recipes are compared on validation texts; the figures of the default recipe are of test texts, and neighbours are counted
among all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import islice

import torch
from figures import SEEDS, finished_run, seconds_of_work
from readme import sections, table
from torch import Tensor, nn
from torch.nn.functional import normalize

from liar import LoadedModel, PruneSpec, load_model
from liar.data.text_reader import read_samples
from liar.evaluate.embedding import vector_steps
from liar.evaluate.prepared_task import prepare
from liar.presets import OF_AN_EMBEDDER
from liar.progress import finish
from liar.report.words.metric_sentences import with_error
from liar.results import Evaluation, RunResult
from liar.spec import Targets
from liar.statistics.compare import difference
from liar.tasks.metrics import METRICS
from liar.tasks.mixes import EMBEDDED_TEXT
from liar.tasks.splits import Split

MINILM = "demo/minilm"
TEXTS = ("embedding", "embedding-films", "embedding-out-of-domain")
SEARCH = "wiki-search"
ALL = 1_476
"""Texts of each kind that are measured, and among which neighbours are counted: all leads of the test part."""

CASES: tuple[tuple[Targets, float], ...] = (("both", 0.25), ("both", 0.5), ("ffn", 0.5))


@dataclass(frozen=True)
class Variation:
    """A recipe that differs from the default in ``choices``; ``of_tokens``: moments without the means of texts; ``linear``:
    with a linear layer behind the pooling.
    """

    name: str
    choices: Mapping[str, object]
    of_tokens: bool = False
    linear: bool = False


VARIATIONS = (
    Variation("**default**", {}),
    Variation("a linear layer behind the pooling", {}, linear=True),
    Variation("moments of tokens alone", {"tokens": 98_304}, of_tokens=True),  # as many as the default takes
    Variation("loss-curve", {"allocation": "loss-curve"}),
    Variation("uniform", {"allocation": "uniform"}),
    Variation("obs, moments of tokens alone, 24,576 tokens", {"criterion": "obs", "tokens": 24_576}, of_tokens=True),
    Variation("sequential", {"schedule": "sequential"}),
    Variation("text: wiki", {"calibration": "wiki"}),
    Variation("24,576 tokens", {"tokens": 24_576}),
    Variation("196,608 tokens", {"tokens": 196_608}),
    Variation("texts cut at 64 tokens", {"sequence_length": 64}),
)


@cache
def dense() -> LoadedModel:
    return load_model(MINILM)


@cache
def of_dense(task: str, split: Split) -> Evaluation:
    return finish(prepare(dense(), task, split=split, limit=ALL).steps(dense(), "dense"))


def of_smaller(model: LoadedModel, task: str, split: Split) -> Evaluation:
    of_dense(task, split)  # its vectors are what others are compared with
    return finish(prepare(dense(), task, split=split, limit=ALL).steps(model, "reconstructed"))


@lru_cache(maxsize=1)
def smaller(spec: PruneSpec, *, of_tokens: bool = False) -> tuple[LoadedModel, RunResult]:
    # Without an embedder nothing is known of texts, and gradients are those of mean pooling, as MiniLM's are.
    model = replace(dense(), embedder=None) if of_tokens else dense()
    made, result = finished_run(spec, model)
    return replace(made, embedder=dense().embedder), result


class _Unit(nn.Module):
    def forward(self, pooled: Tensor) -> Tensor:
        return normalize(pooled, dim=-1)


def with_linear_layer(model: LoadedModel) -> LoadedModel:
    """The model with the linear layer that turns its vectors into the dense ones with the least squared error (a ridge of a
    tenth of the mean variance), over 500 leads and 2,000 film sentences of the training part.
    """
    texts = [
        sample.joined
        for source, n in (("wiki", 500), ("rating", 2_000))
        for sample in islice(read_samples(source, "train", seed=0), n)
    ]
    wanted, given = (finish(vector_steps(each, texts, 256))[0] for each in (dense(), model))
    mean, about = given.mean(dim=0), given - given.mean(dim=0)
    covariance = about.T @ about / len(about)
    covariance.diagonal().add_(0.1 * covariance.diagonal().mean())
    # Towards the identity, not towards nothing.
    change = torch.linalg.solve(covariance, about.T @ (wanted - given) / len(about)).T
    layer = nn.Linear(*change.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(len(change)) + change)
        layer.bias.copy_(wanted.mean(dim=0) - layer.weight @ mean)
    assert model.embedder is not None
    return replace(model, embedder=replace(model.embedder, dense=nn.Sequential(_Unit(), layer)))


def recipes() -> str:
    """On validation texts: the default recipe and what differs from it in one choice, half of heads and neurons gone."""
    rows = []
    for each in VARIATIONS:
        choices = {"calibration": EMBEDDED_TEXT, "allocation": OF_AN_EMBEDDER, **each.choices}
        spec = PruneSpec.create(model=MINILM, targets="both", ratio=0.5, **choices)
        model, result = smaller(spec, of_tokens=each.of_tokens)
        model = with_linear_layer(model) if each.linear else model
        found = [figure for task in TEXTS for figure in of_smaller(model, task, "validation").figures[:2]]
        found.append(of_smaller(model, SEARCH, "validation"))
        rows.append((each.name, *map(with_error, found), f"{seconds_of_work(result):.0f} s"))
        print(*rows[-1], flush=True)
    names = [f"{text}, {metric}" for text in ("leads", "films", "elsewhere") for metric in ("cosine", "neighbours")]
    n = ", ".join(f"{of_dense(task, 'validation').n:,}" for task in TEXTS)
    head = (
        f"{MINILM}, half of heads and neurons gone, validation texts (n = {n}): leads, film sentences, and "
        "sentences of editorials, product reviews and tweets, which no recipe reads. ± is one standard error over texts."
    )
    return f"{head}\n\n{table(('recipe', *names, 'search, nDCG@10', 'work'), rows)}"


def losses() -> str:
    """On test texts, by the default recipe: mean over seeds of the calibration text."""
    rows = []
    for targets, ratio in CASES:
        spec = PruneSpec(model=MINILM, targets=targets, ratio=ratio, allocation=OF_AN_EMBEDDER)
        made = [smaller(spec.model_copy(update={"seed": seed}))[0] for seed in SEEDS]
        for task in (*TEXTS, SEARCH):
            found = [of_smaller(model, task, "test") for model in made]
            for place, metric in enumerate(found[0].figures):
                values = [each.figures[place].value for each in found]
                rows.append((f"{ratio:.0%} {targets}", *_row(task, place, metric, values, found)))
                print(*rows[-1], flush=True)
    columns = ("gone", "measured on", "metric", "dense", "repaired, seed 0", "beside dense", "mean over seeds")
    n = ", ".join(f"{of_dense(task, 'test').n:,}" for task in (*TEXTS, SEARCH))
    head = (
        f"{MINILM}, default recipe, test texts (n = {n}). ± is one standard error over texts, of a difference the paired one, "
        "and the standard deviation over three seeds of the calibration text."
    )
    return f"{head}\n\n{table(columns, rows)}"


def _row(
    task: str, place: int, metric: Evaluation, values: Sequence[float], found: Sequence[Evaluation]
) -> tuple[str, ...]:
    whole, words = of_dense(task, "test").figures[place], METRICS[metric.metric]
    change = difference(whole, found[0].figures[place])
    beside = words.change_words(change.change, change.stderr or 0.0)
    spread = f"{words.words(statistics.fmean(values))} ± {words.scale * statistics.stdev(values):.{words.decimals}f}"
    return task, words.title, with_error(whole), with_error(metric), beside, spread


if __name__ == "__main__":
    sections(
        __doc__,
        {
            "embedder_losses": ("What the default recipe loses", losses),
            "embedder_recipes": ("What else was tried", recipes),
        },
    )
