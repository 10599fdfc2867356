"""Compatibility of the repair with quantisation: dense and repaired models, each in full precision and quantized.

python benchmarks/quantized.py           prints the table (about four minutes on two cores)
python benchmarks/quantized.py --write   also puts it into docs/results/quality.md, between its two markers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from figures import SENTIMENT, SMOLLM2, finished_run, loaded
from readme import sections, table

from liar import LoadedModel, PruneSpec, RunResult
from liar.evaluate.timing.speed import Amount, timed_turns
from liar.models.quantize import quantized
from liar.progress import finish
from liar.report.words.findings import quantizations
from liar.report.words.metric_sentences import sample, variant_name, with_error
from liar.results import Evaluation, MeasuredVariant, Workload

_SHARED = {"schedule": "one-shot", "quantize": "int8"}
SPECS = [
    PruneSpec.create(model=SMOLLM2, ratio=0.2, evaluate=("perplexity",), **_SHARED),
    PruneSpec.create(model=SMOLLM2, ratio=0.5, evaluate=("perplexity",), **_SHARED),
    PruneSpec.create(model=SENTIMENT, targets="both", ratio=0.5, evaluate=("sentiment",), **_SHARED),
]
SHOWN: tuple[MeasuredVariant, ...] = ("dense", "dense-int8", "reconstructed", "reconstructed-int8")
TOKENS, TURNS = 128, 7


def section() -> str:
    """A table with a row for each measured variant, then the library's sentence on each run."""
    rows: list[tuple[str, ...]] = []
    sentences = []
    samples: dict[str, str] = {}
    for spec in SPECS:
        model, result = finished_run(spec, loaded(spec.model))
        rows += rows_of(result, seconds_of(loaded(spec.model), model))
        samples |= {item.metric: sample(item) for item in result.evaluations}
        sentences.append(f"- {title(spec)}: {quantizations(result)[0]}")
    head = (
        "Linear layers of the blocks with int8 weights, one scale for each output channel; the default recipe but one-shot. "
        f"{' or '.join(f'{metric} ({words})' for metric, words in samples.items()).capitalize()} ± its standard error; tokens "
        f"a second of reading {TOKENS} of them, the fastest of {TURNS} turns."
    )
    columns = ("model", "weights", "metric", "MB of weights", "tokens a second")
    return f"{head}\n\n{table(columns, rows)}\n\n" + "\n".join(sentences)


def rows_of(result: RunResult, seconds: Mapping[MeasuredVariant, float]) -> Iterator[tuple[str, ...]]:
    values = {item.variant: item for item in result.evaluations}
    for variant in SHOWN:
        size, speed = f"{result.weight_bytes[variant] / 1e6:.1f}", f"{1 / seconds[variant]:,.0f}"
        yield title(result.spec), variant_name(variant), value_of(values[variant]), size, speed


def seconds_of(dense: LoadedModel, repaired: LoadedModel) -> dict[MeasuredVariant, float]:
    """Seconds per token; the models take turns, so that a slow phase of the machine affects all of them."""
    models = (dense, quantized(dense), repaired, quantized(repaired))
    work: Workload = "prompt" if dense.is_language_model else "text"
    taken = finish(timed_turns(models, {work: Amount(1, TOKENS)}, TURNS))[work]
    return {variant: min(seconds) / TOKENS for variant, seconds in zip(SHOWN, taken, strict=True)}


def value_of(item: Evaluation) -> str:
    """A value and its standard error; of a perplexity more digits than elsewhere, since int8 changes little."""
    if item.metric == "accuracy":
        return with_error(item)
    return f"{item.value:.2f} ± {item.stderr:.2f}"


def title(spec: PruneSpec) -> str:
    return f"{'SmolLM2' if spec.model == SMOLLM2 else 'MiniLM sentiment'}, {spec.ratio:.0%}"


if __name__ == "__main__":
    sections(__doc__, {"int8": ("Int8 weights", section)})
