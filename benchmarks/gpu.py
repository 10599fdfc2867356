"""LLaMA-7B's shape with random weights: seconds of each stage against its arithmetic floor, and peak memory.

    python benchmarks/gpu.py                    32 and 128 sequences of 2,048 tokens, one-shot and default (a GPU of 24 GB)
    python benchmarks/gpu.py --write            also puts the table into docs/large.md, between its markers
    python benchmarks/gpu.py --layers 2 --sequences 1 4 --length 1024   a slice, also for a CPU

With two amounts of text it also says what each further token takes, without what a site takes whatever the text.

The floor of a stage are the operations that no implementation can leave out, by the kind of their numbers (passes in the
model's precision, moments in fp32, solves in fp64), at the rates that this device has in products of the model's own sizes.
One-shot is uniform with the criterion fluctuation; half of the neurons goes, and nothing is measured.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from liar.cli.startup import settle_threads

settle_threads()

import torch
from readme import command_line, forget_peak, memory, show, table
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from liar import LoadedModel, PruneSpec
from liar.jobs.estimates import OPERATIONS, Estimate, SiteShape
from liar.jobs.plan import run_parts
from liar.jobs.stages.reduction import Reduction
from liar.maths.criteria import criterion_of
from liar.models.families import adapt
from liar.models.loaded import bytes_in_memory
from liar.progress import Pace, Stopwatch
from liar.runtime.devices import Batch
from liar.runtime.memory import BATCH, moment_bytes

SEQUENCES, LENGTH = (32, 128), 2048
RECIPES: dict[str, dict[str, str]] = {
    "one-shot": {"criterion": "fluctuation", "allocation": "uniform", "schedule": "one-shot"},
    "default": {},
}
STAGES = ("gradients", "calibrate", "prune")


@dataclass(frozen=True, slots=True)
class Operations:
    """In the model's precision, in fp32 and in fp64: those of a stage, or what a device does in a second."""

    model: float = 0.0
    single: float = 0.0
    double: float = 0.0

    def seconds(self, rates: Operations) -> float:
        return self.model / rates.model + self.single / rates.single + self.double / rates.double


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds and floor of each stage, the number of tokens, and bytes: the peak, and what of it cannot be avoided."""

    seconds: dict[str, float]
    floors: dict[str, float]
    tokens: int
    peak: int
    least: int
    kept: list[int]

    @property
    def all_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def all_floors(self) -> float:
        return sum(self.floors.values())


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--layers", type=int, default=LlamaConfig().num_hidden_layers)
    parser.add_argument("--sequences", type=int, nargs="+", default=SEQUENCES)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    text = section(arguments.layers, arguments.sequences, arguments.length, arguments.recipes, device)
    show("gpu", text, arguments.write)


def section(
    layers: int,
    sequences: Sequence[int],
    length: int,
    recipes: Sequence[str],
    device: torch.device,
    config: LlamaConfig | None = None,
) -> str:
    """The table; ``config`` gives the shape of a smaller model in place of LLaMA-7B's, to try it."""
    shape, rows = config or LlamaConfig(), []
    by_recipe: dict[str, list[Measured]] = {name: [] for name in recipes}
    for number in sequences:
        for name in recipes:
            found = measure(name, model_of(layers, device, shape), text_of(number, length, shape.vocab_size))
            by_recipe[name].append(found)
            stages = (
                f"{found.seconds[stage]:.1f} ({found.seconds[stage] / found.floors[stage]:.2f})"
                if found.floors[stage]
                else "none"
                for stage in STAGES
            )
            memory = (f"{found.least / 1e9:.1f} GB", f"{(found.peak - found.least) / 1e9:.2f} GB")
            total = f"{found.all_seconds:.1f} ({found.all_seconds / found.all_floors:.2f})"
            rows.append((f"{number} x {length:,}", name, *stages, total, *memory))
    stages = (f"{stage}, s" for stage in STAGES)
    columns = ("tokens", "recipe", *stages, "in all, s", "weights and moments of a site", "peak above")
    rates = rates_of(device, _precision(device), shape.hidden_size, shape.intermediate_size)
    head = (
        f"LLaMA-7B's shape, {layers} layers of random weights in {str(_precision(device)).removeprefix('torch.')}, half of the "
        "neurons, nothing measured. In brackets the ratio to the floor of the stage: its operations at "
        f"{rates.model / 1e12:.2f} x 10^12 a second in the model's precision, {rates.single / 1e12:.2f} in fp32 and "
        f"{rates.double / 1e12:.2f} in fp64, which this device reaches in products of the same sizes."
    )
    further = [further_token(name, found[0], found[-1]) for name, found in by_recipe.items() if len(found) > 1]
    return "\n\n".join([head, table(columns, rows), *further])


def further_token(recipe: str, few: Measured, many: Measured) -> str:
    """A sentence: what a token takes that ``many`` has and ``few`` has not, and its ratio to the floor."""
    tokens = many.tokens - few.tokens
    seconds, floor = many.all_seconds - few.all_seconds, many.all_floors - few.all_floors
    return (
        f"{recipe.capitalize()}: each of the further {tokens:,} tokens takes {1e3 * seconds / tokens:.2f} ms, "
        f"{seconds / floor:.2f} times its floor."
    )


def _precision(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def model_of(layers: int, device: torch.device, config: LlamaConfig | None = None) -> LoadedModel:
    """A model of LLaMA-7B's shape with so many layers."""
    config = config or LlamaConfig()
    config.num_hidden_layers = layers
    torch.manual_seed(0)
    with device:
        before = torch.get_default_dtype()
        torch.set_default_dtype(_precision(device))
        try:
            model = LlamaForCausalLM(config).eval().requires_grad_(False)
        finally:
            torch.set_default_dtype(before)
    return LoadedModel("random/llama-7b", model, cast(Any, None), adapt(model), None)


def text_of(sequences: int, length: int, vocabulary: int = LlamaConfig().vocab_size) -> list[Batch]:
    """Random tokens, in the batches of a calibration."""
    ids = torch.randint(3, vocabulary, (sequences, length), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids.split(BATCH)]


def measure(recipe: str, loaded: LoadedModel, batches: Sequence[Batch]) -> Measured:
    """Do a run of ``recipe`` on ``loaded``, which becomes smaller."""
    spec = PruneSpec.create(model=loaded.id, ratio=0.5, **RECIPES[recipe])
    estimate = Estimate.of(spec, loaded, batches)
    device = loaded.model.device
    widest = loaded.adapter.widest
    rates = rates_of(device, loaded.model.dtype, loaded.model.config.hidden_size, widest)
    floors = {name: work.seconds(rates) for name, work in work_of(estimate).items()}
    least = bytes_in_memory(loaded.model) + moment_bytes(widest, loaded.model.dtype)
    watch = Stopwatch()
    pace = Pace(run_parts(estimate))
    reduction = Reduction(spec, criterion_of(spec.criterion), loaded, pace, watch, None, batches)
    _forget_peak(device)
    for _ in reduction.events():
        pass
    seconds = {stage: watch.seconds.get(stage, 0.0) for stage in STAGES}
    seconds["calibrate"] += watch.seconds.get("allocate", 0.0)
    kept = [site.kept for site in reduction.reports]
    return Measured(seconds, floors, estimate.tokens, _peak(device), least, kept)


def work_of(estimate: Estimate) -> dict[str, Operations]:
    """Operations of each stage: passes and moments of the estimates of its seconds, and one solve, order and curve a site."""
    spec, sample, sites = estimate.spec, estimate.sampled, estimate.sites
    found, pace = dict.fromkeys(STAGES, Operations()), OPERATIONS
    orders = sum(site.scores(spec.importance) for site in sites) * pace
    solves = sum(_solve(site, 1 - spec.ratio) for site in sites)
    if spec.needs.gradients:
        found["gradients"] = Operations(model=estimate.gradients(spec.needs) * pace)
    if spec.allocation != "uniform":
        forward, walk = sample.reading(), sample.walk(norm_aware=spec.needs.norm_aware)
        curves = sum(site.channels**3 / 3 + site.channels**2 * site.outputs for site in sites)
        found["calibrate"] = Operations(model=forward * pace, single=(walk - forward) * pace, double=orders + curves)
    forward = estimate.reading()
    passes, moments = forward, estimate.walk() - forward
    if spec.walked == "corrective":
        passes += forward
        moments += estimate.drift() - forward
    found["prune"] = Operations(model=passes * pace, single=moments * pace, double=orders + solves)
    return found


def _solve(site: SiteShape, share: float) -> float:
    """Operations of one least-squares repair that keeps this ``share`` of the channels."""
    kept = share * site.channels
    return kept**3 / 3 + 2 * kept**2 * site.outputs + 2 * kept * (site.channels - kept) * site.outputs


# -- the device --------------------------------------------------------------------------------------------------------


def rates_of(device: torch.device, dtype: torch.dtype, width: int, channels: int) -> Operations:
    """Operations in products of a block's sizes: activations with weights, and rows with themselves."""
    tokens = 1024 if device.type == "cpu" else 8192
    side = min(channels, 2048 if device.type == "cpu" else 8192)

    def made(*shape: int, kind: torch.dtype) -> Tensor:
        return torch.randn(*shape, device=device, dtype=torch.float32).to(kind)

    return Operations(
        _rate(made(tokens, width, kind=dtype), made(width, channels, kind=dtype)),
        _rate(made(channels // 8, tokens, kind=torch.float32), made(tokens, channels, kind=torch.float32)),
        _rate(made(side, side, kind=torch.float64), made(side, side, kind=torch.float64)),
    )


def _rate(a: Tensor, b: Tensor) -> float:
    """Operations per second of the product, the fastest of some."""
    seconds = []
    for _ in range(4):
        _finish(a.device)
        start = time.perf_counter()
        a @ b
        _finish(a.device)
        seconds.append(time.perf_counter() - start)
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / min(seconds)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        forget_peak()


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return memory("VmHWM")


if __name__ == "__main__":
    main()
