"""Results made by hand, for tests of charts and sentences. No model is involved and no figure is real."""

from __future__ import annotations

from typing import Any

from liar.choices import Reconstruction
from liar.explore.forecast import report_of
from liar.report.costs import Costs, CostsResult, SpeedComparison
from liar.results import (
    MEASURED,
    QUANTIZED,
    VARIANTS,
    Change,
    Evaluation,
    Generation,
    Items,
    MeasuredVariant,
    ModelInfo,
    Quartiles,
    RunResult,
    SiteReport,
    Speed,
    SpeedGain,
    Totals,
    TriedRun,
    Variant,
    Workload,
)
from liar.sites import Site
from liar.spec import PruneSpec, SiteKind

OLDER: tuple[Reconstruction, ...] = ("none", "bias", "liar", "least-squares")
"""Reconstructions of results and atlases from before ``scale``."""

_UNITS: dict[SiteKind, int] = {"attention": 9, "ffn": 1536}


def site(layer: int, kind: SiteKind, worst: float = 0.4) -> SiteReport:
    error: dict[Reconstruction, float] = {
        "none": worst,
        "bias": worst * 0.8,
        "scale": worst * 0.6,
        "liar": worst * 0.3,
        "least-squares": worst * 0.25,
    }
    units = _UNITS[kind]
    return report_of(Site(layer, kind, units), range(units - units // 2), error, error)


def older(report: SiteReport) -> SiteReport:
    """The report as it was before the reconstruction scale was added."""
    return report.model_copy(
        update={
            kind: {name: value for name, value in getattr(report, kind).items() if name in OLDER}
            for kind in ("error", "norm_aware_error")
        }
    )


def language_run(depth: int = 30, **choices: Any) -> RunResult:
    """A typical run on a language model."""
    spec = PruneSpec.create(**{"evaluate": ("perplexity",), **choices})
    kinds: list[SiteKind] = ["ffn"] if spec.targets == "ffn" else ["attention", "ffn"]
    values: dict[Variant, float] = {"dense": 16.2, "pruned": 110.7, "reconstructed": 42.4}
    windows: dict[str, Any] = {"metric": "perplexity", "n": 20, "sequence_length": 256}
    return RunResult(
        spec=spec,
        model=ModelInfo(id=spec.model, family="llama", layers=depth, parameters=134_515_008),
        sites=[site(layer, kind, worst=0.9 / (1 + layer)) for layer in range(depth) for kind in kinds],
        totals=Totals(
            parameters_before=134_515_008,
            parameters_after=94_160_000,
            block_parameters_before=106_200_000,
            block_parameters_after=65_845_000,
        ),
        evaluations=[
            Evaluation(task="perplexity", variant=variant, value=value, stderr=value / 20, **windows)
            for variant, value in values.items()
        ],
        generations=[
            Generation(prompt="The capital of France is", variant=variant, text=f"{variant}.") for variant in values
        ],
    )


def run_of_layers(**choices: Any) -> RunResult:
    """A run that took layers 13 to 18 of 30, with the errors of all runs of up to six."""
    whole = language_run(targets="layers", ratio=0.2, **choices)
    errors: dict[Reconstruction, float] = {"none": 0.22, "bias": 0.15, "least-squares": 0.077}

    def after(report: SiteReport) -> SiteReport:
        kept = 0 if 13 <= report.layer <= 18 else report.units
        found = errors if report.name == "layers.12.ffn" else {}
        changed = {"kept": kept, "kept_units": list(range(kept)), "error": found, "norm_aware_error": found}
        return report.model_copy(update=changed)

    return whole.model_copy(update={"sites": [after(report) for report in whole.sites], "tried": _tried(6)})


def _tried(longest: int) -> list[TriedRun]:
    return [
        TriedRun(first=first, layers=length, norm_aware_error=0.01 * length + 0.001 * abs(first - 13))
        for length in range(1, longest + 1)
        for first in range(1, 31 - length)
    ]


def run_of_chain(**choices: Any) -> RunResult:
    """A run that took layers 13 to 15 of 30, then part of the neurons of the others, each with its error."""
    whole = language_run(**{"targets": "ffn", "ratio": 0.4, "layers": 0.1, **choices})
    gone = {"kept": 0, "kept_units": [], "error": {}, "norm_aware_error": {}}
    sites = [report.model_copy(update=gone if 13 <= report.layer <= 15 else {}) for report in whole.sites]
    return whole.model_copy(update={"sites": sites, "tried": _tried(3)})


def change(text: str, label: str, *answers: str) -> Change:
    """A test sentence with the answers of the dense, the pruned and the reconstructed model."""
    return Change(task="sentiment", text=text, label=label, answers=dict(zip(VARIANTS, answers, strict=True)))


def quantized_run(**values: float) -> RunResult:
    """:func:`language_run` with int8 copies: their values are in ``values``, or 0.5 worse than those of the exact models."""
    run = language_run(quantize="int8")
    exact = {item.variant: item for item in run.evaluations}
    copies = [exact[variant].model_copy(update={"variant": rounded}) for variant, rounded in QUANTIZED.items()]
    sizes: dict[MeasuredVariant, int] = {"dense": 538_000_000, "dense-int8": 220_000_000, "pruned": 377_000_000}
    sizes |= {"reconstructed": 377_000_000, "reconstructed-int8": 179_000_000}
    made = run.model_copy(
        update={
            "evaluations": sorted([*run.evaluations, *copies], key=lambda item: MEASURED.index(item.variant)),
            "weight_bytes": sizes,
            "speeds": [
                speed("dense", 0.2),
                speed("dense-int8", 0.23),
                speed("reconstructed", 0.15),
                speed("reconstructed-int8", 0.151),
            ],
            "gains": [
                gain("dense", "dense-int8", 0.85, 0.87, 0.88),
                gain("reconstructed", "reconstructed-int8", 0.98, 0.99, 1.01),
            ],
        }
    )
    return with_values(made, **{"dense_int8": 16.7, "reconstructed_int8": 42.9, **values})


def speed(variant: MeasuredVariant, seconds: float, spread: float = 0.001) -> Speed:
    return Speed(variant=variant, seconds=seconds, spread=spread, tokens=128, repeats=9)


def gain(than: MeasuredVariant, variant: MeasuredVariant, lower: float, median: float, upper: float) -> SpeedGain:
    """Speed of ``variant`` at a prompt of 256 tokens as a multiple of that of ``than``: quartiles."""
    middle = Quartiles(lower=lower, median=median, upper=upper)
    return SpeedGain(variant=variant, than=than, work="prompt", tokens=256, repeats=7, gain=middle)


def costs(parameters: int = 130_000_000, macs: int = 140_000_000, **facts: Any) -> Costs:
    """Costs of a language model: 4 bytes a parameter, 30 M of them in its embeddings."""
    return Costs.model_validate(
        {
            "model": ModelInfo(id="demo/smollm2-135m", family="llama", layers=30, parameters=parameters),
            "embedding_parameters": 30_000_000,
            "macs_per_token": macs,
            "bytes_in_memory": 4 * parameters,
            "widths": [576, 768],
            **facts,
        }
    )


def turns(work: Workload, lower: float, median: float, upper: float) -> SpeedComparison:
    """A comparison in which the dense model does 100 tokens a second, and the pruned one 100 times the gain."""
    middle = {"lower": lower, "median": median, "upper": upper}
    return SpeedComparison(
        work=work,
        sequences=16 if work == "batch" else 1,
        tokens=32 if work == "decoding" else 256,
        dense=Quartiles(lower=99, median=100, upper=101),
        pruned=Quartiles(**{name: 100 * value for name, value in middle.items()}),
        gain=Quartiles(**middle),
    )


def costs_result(*speeds: SpeedComparison, **pruned: Any) -> CostsResult:
    """30 % fewer parameters, a quarter fewer multiplications."""
    return CostsResult(
        dense=costs(bytes_on_disk=520_000_000),
        pruned=costs(**{"parameters": 91_000_000, "macs": 105_000_000, "bytes_on_disk": 364_000_000, **pruned}),
        context=256,
        speeds=list(speeds) or [turns("prompt", 1.3, 1.4, 1.5), turns("decoding", 1.1, 1.2, 1.25)],
        repeats=7,
    )


def classifier_run(**choices: Any) -> RunResult:
    """A typical run on a BERT with a sentiment head."""
    spec = PruneSpec.create(
        **{"model": "demo/minilm-sentiment", "targets": "both", "evaluate": ("sentiment",), **choices}
    )
    values: dict[Variant, float] = {"dense": 0.863, "pruned": 0.808, "reconstructed": 0.847}
    prompt = "A warm and clever film."
    kinds: list[SiteKind] = ["attention", "ffn"]
    return RunResult(
        spec=spec,
        model=ModelInfo(id=spec.model, family="bert", layers=6, parameters=22_713_216),
        sites=[site(layer, kind, worst=0.5 - 0.05 * layer) for layer in range(6) for kind in kinds],
        totals=Totals(
            parameters_before=22_713_216,
            parameters_after=17_000_000,
            block_parameters_before=10_646_784,
            block_parameters_after=5_000_000,
        ),
        evaluations=[
            Evaluation(task="sentiment", metric="accuracy", variant=variant, value=value, n=1200, stderr=0.01)
            for variant, value in values.items()
        ],
        generations=[
            Generation(prompt=prompt, variant=variant, probabilities={"positive": value, "negative": 1 - value})
            for variant, value in values.items()
        ],
        changes=[
            change("A quiet marvel.", "positive", "positive", "negative", "positive"),
            change("Two hours I will not get back.", "negative", "negative", "positive", "positive"),
            change("Not the worst film of the year.", "positive", "negative", "positive", "negative"),
        ],
        speeds=[speed("dense", 0.012), speed("reconstructed", 0.010, spread=0.0005)],
        gains=[gain("dense", "reconstructed", 1.17, 1.2, 1.25).model_copy(update={"work": "text"})],
    )


def with_values(run: RunResult, *values: float, **named: float) -> RunResult:
    """A copy of the run with these metrics of the dense, the pruned and the reconstructed model, or of ``named`` ones
    (``dense_int8`` for dense-int8).
    """
    chosen = dict(zip(VARIANTS, values, strict=False)) | {
        name.replace("_", "-"): value for name, value in named.items()
    }
    changed = [item.model_copy(update={"value": chosen.get(item.variant, item.value)}) for item in run.evaluations]
    return run.model_copy(update={"evaluations": changed})


def with_answers(run: RunResult, *right: str) -> RunResult:
    """A copy of the run with the answers of its three models, 1 for a right one; accuracy and n follow from these."""
    evaluations = [
        item.model_copy(
            update={
                "value": bits.count("1") / len(bits),
                "n": len(bits),
                "items": Items(digest="texts", right=f"{int(bits, 2):x}"),
            }
        )
        for item, bits in zip(run.evaluations, right, strict=True)
    ]
    return run.model_copy(update={"evaluations": evaluations})
