"""Results made by hand, for tests of what is drawn and said. No model is involved and no figure is real."""

from __future__ import annotations

from typing import Any

from liar.results import Evaluation, Generation, ModelInfo, RunResult, SiteReport, Totals
from liar.spec import PruneSpec, Reconstruction, SiteKind

_UNITS: dict[SiteKind, int] = {"attention": 9, "ffn": 1536}


def site(layer: int, kind: SiteKind, worst: float = 0.4) -> SiteReport:
    error: dict[Reconstruction, float] = {
        "none": worst,
        "bias": worst * 0.8,
        "liar": worst * 0.3,
        "least-squares": worst * 0.25,
    }
    units = _UNITS[kind]
    kept = units - units // 2
    return SiteReport(
        name=f"layers.{layer}.{kind}",
        layer=layer,
        kind=kind,
        units=units,
        kept=kept,
        kept_units=list(range(kept)),
        error=error,
        norm_aware_error=error,
    )


def language_run(layers: int = 30, **choices: Any) -> RunResult:
    """What a run on a language model looks like."""
    spec = PruneSpec.create(**{"evaluate": ("perplexity",), **choices})
    kinds: list[SiteKind] = ["ffn"] if spec.targets == "ffn" else ["attention", "ffn"]
    values = {"dense": 16.2, "pruned": 110.7, "reconstructed": 42.4}
    return RunResult(
        spec=spec,
        model=ModelInfo(id=spec.model, family="llama", layers=layers, parameters=134_515_008),
        sites=[site(layer, kind, worst=0.9 / (1 + layer)) for layer in range(layers) for kind in kinds],
        totals=Totals(
            parameters_before=134_515_008,
            parameters_after=94_160_000,
            block_parameters_before=106_200_000,
            block_parameters_after=65_845_000,
        ),
        evaluations=[
            Evaluation.model_validate(
                {
                    "task": "perplexity",
                    "metric": "perplexity",
                    "variant": variant,
                    "value": value,
                    "n": 20,
                    "stderr": value / 20,
                    "sequence_length": 256,
                }
            )
            for variant, value in values.items()
        ],
        generations=[
            Generation.model_validate({"prompt": "The capital of France is", "variant": variant, "text": f"{variant}."})
            for variant in values
        ],
    )


def classifier_run(**choices: Any) -> RunResult:
    """What a run on a BERT with a sentiment head looks like."""
    spec = PruneSpec.create(
        **{"model": "demo/minilm-sentiment", "targets": "both", "evaluate": ("sentiment",), **choices}
    )
    values = {"dense": 0.863, "pruned": 0.808, "reconstructed": 0.847}
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
            Evaluation.model_validate(
                {
                    "task": "sentiment",
                    "metric": "accuracy",
                    "variant": variant,
                    "value": value,
                    "n": 1200,
                    "stderr": 0.01,
                }
            )
            for variant, value in values.items()
        ],
        generations=[
            Generation.model_validate(
                {
                    "prompt": "A warm and clever film.",
                    "variant": variant,
                    "probabilities": {"positive": value, "negative": 1 - value},
                }
            )
            for variant, value in values.items()
        ],
    )
