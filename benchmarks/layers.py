"""Whole layers beside neurons: what the same number of parameters costs, and how much faster the rest is.

python benchmarks/layers.py                prints the tables (about twenty-five minutes on two cores)
python benchmarks/layers.py --write        also puts them into docs/results/quality.md, between their markers
python benchmarks/layers.py --only shape   the speeds of a slice of LLaMA-7B's shape alone (10 GB of memory)
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import cast

import torch
from figures import SMOLLM2, finished_run, loaded
from gpu import model_of
from parts.subjects import Gain
from readme import sections, table
from torch import nn
from transformers import LlamaConfig

from liar import PruneSpec
from liar.course.figures import evaluation_of
from liar.evaluate.timing.size_and_speed import compare_steps
from liar.evaluate.timing.speed import comparison_steps
from liar.explore.need import Need, ratio_for
from liar.jobs.meet_need import sizes_of
from liar.models.loaded import parameter_count
from liar.progress import finish
from liar.report.words.findings import named
from liar.report.words.metric_sentences import with_error
from liar.results import Quartiles, RunResult, removed_layers
from liar.tasks.demo import PERPLEXITY
from liar.tasks.registry import usual_tasks

REMOVED = (3, 6, 9, 12)
"""Layers that go, of SmolLM2's 30."""

SHAPE_LAYERS, SHAPE_REMOVED = 10, 2
"""Layers of the slice of LLaMA-7B's shape, and how many of them go."""

BASE = PruneSpec(model=SMOLLM2, evaluate=usual_tasks(PERPLEXITY.name))


def section() -> str:
    """A row for each number of layers, and beneath it one for as many parameters in neurons."""
    dense = loaded(SMOLLM2)
    sizes = sizes_of(dense)
    rows = []
    for number in REMOVED:
        layers = {"targets": "layers", "ratio": number / len(dense.adapter.layers)}
        short, cells = _run(BASE.model_copy(update=layers))
        share = Need("parameters", short.totals.parameters_after / sizes.parameters)
        as_small = {"ratio": ratio_for(share, BASE, sizes)}
        rows += [cells, _run(BASE.model_copy(update=as_small), short)[1]]
    values = ", ".join(f"{task} {with_error(evaluation_of(short, 'dense', task))}" for task in BASE.evaluate)
    head = (
        f"Whole layers with a patch, and as many parameters in neurons by the default recipe. Dense: {values}. In brackets the "
        "perplexity without patch or repair; of neurons also what they gain over the row above, ± its paired standard "
        "error. Speeds are times that of the dense model, in turns, with their quartiles."
    )
    columns = ("removed", "parameters of the blocks left", *BASE.evaluate, "prompt", "decoding")
    return f"{head}\n\n{table(columns, rows)}"


def shape(config: LlamaConfig | None = None) -> str:
    """Speeds of a slice of LLaMA-7B's shape with a fifth of its layers gone: its head is a small part of it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dense = model_of(SHAPE_LAYERS, device, config)
    parameters = list(cast(nn.Module, dense.model).parameters())
    network = copy.deepcopy(dense.model, {id(parameter): parameter for parameter in parameters})  # no weight twice
    short = replace(dense, model=network, adapter=type(dense.adapter)(network))
    middle = SHAPE_LAYERS // 2
    short.adapter.remove_blocks(range(middle, middle + SHAPE_REMOVED))
    speeds = finish(comparison_steps(dense, short, prompt_tokens=128, new_tokens=16, repeats=5))
    gains = {speed.work: _speed(speed.gain) for speed in speeds}
    looked_up = cast(nn.Embedding, dense.model.get_input_embeddings()).weight.numel()
    read = sum(parameter.numel() for parameter in parameters) - looked_up
    bound = read / (read - SHAPE_REMOVED * parameter_count(dense.adapter.layers) / SHAPE_LAYERS)
    return (
        f"{SHAPE_REMOVED} of {SHAPE_LAYERS} layers of LLaMA-7B's shape gone, random weights in "
        f"{str(dense.model.dtype).removeprefix('torch.')}, in turns: a prompt of 128 tokens is read {gains['prompt']} times as "
        f"fast, and 16 tokens are written {gains['decoding']} times as fast, with quartiles. For each of them the dense model "
        f"reads {bound:.2f} times as many weights."
    )


def _run(spec: PruneSpec, beside: RunResult | None = None) -> tuple[RunResult, tuple[str, ...]]:
    """A run, and its cells: what it removed, perplexities beside those of another run, and speeds beside the dense model."""
    dense = loaded(spec.model)
    model, result = finished_run(spec, dense)
    words = named(removed_layers(result.sites)) if "depth" in spec.stages else f"{spec.ratio:.0%} of the neurons"
    perplexities = (_perplexity(result, task, beside) for task in BASE.evaluate)
    speeds = (_speed(speed.gain) for speed in finish(compare_steps(dense, model)).speeds)
    return result, (words, f"{1 - result.totals.blocks_removed:.1%}", *perplexities, *speeds)


def _perplexity(result: RunResult, task: str, beside: RunResult | None) -> str:
    bare, repaired = (evaluation_of(result, variant, task) for variant in ("pruned", "reconstructed"))
    words = f"{with_error(repaired)} ({bare.value:,.1f})"
    if beside is None:
        return words
    return f"{words}, {Gain.of(evaluation_of(beside, 'reconstructed', task), repaired)} nats"


def _speed(times: Quartiles) -> str:
    return f"{times.median:.2f} ({times.lower:.2f} to {times.upper:.2f})"


if __name__ == "__main__":
    sections(__doc__, {"layers": ("Whole layers", section), "shape": ("Whole layers of a larger shape", shape)})
