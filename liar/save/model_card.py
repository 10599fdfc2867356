"""Model card: the README of a saved model with metadata for the Hub, figures, and how to load it and make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from liar.loading.source import is_hub_id, local_folder
from liar.presets import preset_of, split_revision
from liar.report.export import as_command
from liar.report.words.findings import domains, quantizations, vocabulary
from liar.report.words.metric_sentences import sample, variant_name, with_error
from liar.report.words.sentences import parameters, recipe, shared_texts, verdict
from liar.results import MEASURED, MeasuredVariant, RunResult
from liar.statistics.compare import by_metric
from liar.tasks.metrics import METRICS
from liar.tasks.record import HeadKind
from liar.tasks.registry import credits_of, task_named

_PIPELINES = {
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForMaskedLM": "fill-mask",
    "SentenceTransformer": "sentence-similarity",
    "CrossEncoder": "text-ranking",
}

_TEMPLATE = """\
---
{metadata}
---

# {title}

{verdict}

{parameters} {recipe}

{figures}
## Load it
{needs}
```python
{loading}
```

{after}

## Make it again

```
{command}
```

Method: LIAR, [arXiv 2407.13331](https://arxiv.org/abs/2407.13331). Every figure of the run is in `liar.json`. {licence}
{credits}
{environment}
"""


_LOADING = """\
from transformers import {loader}, AutoTokenizer

path = "PATH"  # this folder, or the id of the repository that it was pushed to
model = {loader}.from_pretrained(path{trust})
tokenizer = AutoTokenizer.from_pretrained(path{distrust})"""

_LOADING_ENCODER = """\
from sentence_transformers import {encoder}

path = "PATH"  # this folder, or the id of the repository that it was pushed to
model = {encoder}(path{trust})"""

_ELSEWHERE = """\
For ONNX, OpenVINO, or llama.cpp and Ollama: `liar export PATH --to onnx --out NEW` (or `openvino`, `gguf`), also if its layers
differ in width. What else loads it, and what was checked by running it: docs/elsewhere.md of the library."""

_NEEDS = """
The linear layers of its blocks have int8 weights, one scale for each output channel: `pip install torchao` first.
"""


_ADDS_BIAS = """
The repair added biases to linear layers that had none. Some runtimes drop these in silence, mlc-llm and TensorRT-LLM among
them, and run another model: compare the answer to one text, or prune with `--no-intercept`, which needs no bias.
"""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How a runtime other than torch loads the model: its name as a library of the Hub, the code, and what was checked."""

    library: str
    loading: str
    checked: str


def model_card(
    result: RunResult,
    loader: str,
    *,
    trust: bool,
    quantized: bool = False,
    notices: Sequence[str] = (),
    adds_bias: bool = False,
    encoder: str | None = None,
    elsewhere: Elsewhere | None = None,
) -> str:
    """Markdown with a YAML head. ``loader`` is the auto class that loads the model; ``trust``: loading runs a file of
    the checkpoint; ``quantized``: the weights are int8; ``notices``: files of the base model that lie in the folder;
    ``adds_bias``: linear layers have a bias that the base model has not; ``encoder``: the class of sentence-transformers that
    loads it; ``elsewhere``: how another runtime loads it instead.
    """
    model = result.spec.model
    preset = preset_of(model)
    is_folder = local_folder(model) is not None and (preset is None or preset.weights is None)
    id, revision = (model, None) if is_folder else split_revision(model)
    base, licence = (preset.origin, preset.licence) if preset is not None else (id, None)
    # The Hub refuses a card whose base model is a path or has a revision, and a path is private.
    is_public = is_hub_id(base) and not is_folder
    quoted = credits_of(change.task for change in result.changes)
    title = f"{base.rstrip('/').split('/')[-1]}, pruned and repaired"
    metadata = ModelCardData(
        model_name=title,
        base_model=base if is_public else None,
        # The Hub knows adapter, finetune, merge and quantized; finetune is any change of the base's own weights.
        base_model_relation=("quantized" if quantized else "finetune") if is_public else None,
        license=licence.lower() if licence in ("Apache-2.0", "MIT") else None,
        library_name=_library(encoder, elsewhere),
        pipeline_tag=_PIPELINES.get(encoder or loader),
        tags=["pruned", "liar"],
        eval_results=_measured(result, "reconstructed-int8" if quantized else "reconstructed"),
    )
    return _TEMPLATE.format(
        metadata=metadata.to_yaml(),
        title=title,
        verdict=verdict(result),
        parameters=parameters(result),
        recipe=recipe(result.spec),
        figures=_figures(result),
        needs=(_NEEDS if quantized else "") + (_ADDS_BIAS if adds_bias else ""),
        after=_ELSEWHERE if elsewhere is None else elsewhere.checked,
        loading=elsewhere.loading
        if elsewhere is not None
        else (_LOADING if encoder is None else _LOADING_ENCODER).format(
            loader=loader,
            encoder=encoder,
            trust=", trust_remote_code=True" if trust else "",
            # Without it transformers asks whether to run the modelling file, which no tokenizer needs.
            distrust=", trust_remote_code=False" if trust else "",
        ),
        command=as_command(result.spec),
        # The metadata has no field for the revision.
        licence=("" if revision is None else f"The base model is revision `{revision}` of `{base}`. ")
        + _licence(licence, notices),
        # Test items that the JSON beside the card holds.
        credits="".join(f"\nTest items are quoted in `liar.json`. {credit.sentence}\n" for credit in quoted),
        environment=", ".join(f"{name} {value}" for name, value in result.environment.items()) + ".",
    )


def _library(encoder: str | None, elsewhere: Elsewhere | None) -> str:
    """The Hub's name of the library that loads the model."""
    if elsewhere is not None:
        return elsewhere.library
    return "transformers" if encoder is None else "sentence-transformers"


def _licence(licence: str | None, notices: Sequence[str]) -> str:
    """Sentence about the licence of the base model, with the ``notices`` that were copied from it."""
    named = f"The base model is under {licence}" if licence else "The licence is that of the base model"
    files = ", ".join(f"[{name}]({name})" for name in notices)
    return f"{named}, see {files}." if files else f"{named}."


_TASK_TYPES: Mapping[HeadKind | None, str] = {
    "language-model": "text-generation",
    "choice": "multiple-choice",
    "span": "question-answering",
    "embedding": "sentence-similarity",
    "similarity": "sentence-similarity",
    "search": "information-retrieval",
    "rerank": "text-ranking",
}
"""The Hub's names of kinds of tasks, where it is not text classification."""


def _measured(result: RunResult, variant: MeasuredVariant) -> list[EvalResult] | None:
    """Figures of the saved model for the Hub's table; None if nothing was measured."""
    return [
        EvalResult(
            task_type=_TASK_TYPES.get(task_named(item.task).head, "text-classification"),
            dataset_type=task_named(item.task).title.lower().replace(" ", "-"),
            dataset_name=task_named(item.task).title,
            dataset_split=item.split or "test",
            metric_type=item.metric,
            metric_value=round(item.value, 4),
            metric_name=f"{METRICS[item.metric].title} (n = {sample(item)}, standard error {item.stderr:.2g})",
        )
        for evaluation in result.evaluations
        if evaluation.variant == variant
        for item in evaluation.figures
    ] or None


def _figures(result: RunResult) -> str:
    """A table with one line for each task; empty if nothing was measured."""
    if not result.evaluations:
        return ""
    variants = [variant for variant in MEASURED if any(item.variant == variant for item in result.evaluations)]
    lines = [f"| | measured on | {' | '.join(map(variant_name, variants))} |", f"|---|---|{'---|' * len(variants)}"]
    for first, *others in by_metric(result.evaluations):
        name = first.task if first.task == first.metric else f"{first.task}, {METRICS[first.metric].title}"
        values = {item.variant: with_error(item) for item in (first, *others)}
        lines.append(f"| {name} | {sample(first)} | {' | '.join(values.get(variant, '') for variant in variants)} |")
    found = [vocabulary(result), domains(result), *quantizations(result)]
    sentences = "".join(f"\n{sentence}\n" for sentence in found if sentence)
    shared = shared_texts(result.calibration) if result.calibration is not None else []
    apart = ". " + " ".join(shared) if shared else ", on texts that were not used to repair the model."
    return "\n".join(lines) + f"\n\nValues ± their standard error{apart}\n{sentences}"
