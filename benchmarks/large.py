"""Several processes, and models larger than the demo: what sharing a text gains here, and what it should gain elsewhere.

    python benchmarks/large.py            prints the tables (twenty minutes on two cores)
    python benchmarks/large.py --only paper
    python benchmarks/large.py --write    also puts them into docs/large.md, between its markers

The table of larger models is arithmetic: the operations of the project's own estimate (:mod:`liar.jobs.estimates`) and the
rates below. What every process does for itself (scores, curves and repairs of every site) is not divided among them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from liar.cli.startup import settle_threads

settle_threads()

import torch
from figures import SMOLLM2
from readme import ROOT, table, write
from transformers import LlamaConfig

from liar import PruneSpec, run
from liar.files import write_atomically
from liar.jobs import estimates
from liar.jobs.estimates import Amounts, Shape, SiteShape
from liar.presets import PRESETS
from liar.report.export import as_json
from liar.results import RunResult
from liar.runtime.distributed import is_first, joined
from liar.runtime.environment import versions
from liar.runtime.memory import PlannedWork, moment_bytes, working_bytes
from liar.spec import AUTO_TOKENS_OF_A_MIX

SPEC = PruneSpec.create(model=SMOLLM2, ratio=0.5, evaluate=())
STAGES = ("gradients", "calibrate", "prune")

HALF, SINGLE, DOUBLE, LINK = 300e12, 40e12, 30e12, 100e9
"""Operations per second of a large GPU in forward and backward passes of 16 bits, in products of fp32 and of fp64, and bytes
per second between two of them: about a third to a half of what the makers of an H100 give."""
DTYPE = torch.bfloat16


@dataclass(frozen=True)
class Case:
    """So many processes, each with so many threads."""

    processes: int
    threads: int


CASES = (Case(1, 1), Case(2, 1), Case(1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.process:
        process(PruneSpec.from_json(arguments.process[0]), Path(arguments.process[1]))
        return
    for name in arguments.only:
        text = SECTIONS[name]()
        print(text, flush=True)
        if arguments.write:
            write(name, text)


# -- measured here -----------------------------------------------------------------------------------------------------


def process(spec: PruneSpec, path: Path) -> None:
    """Do the run in one of the processes; the first writes the result."""
    with joined() as group:
        group.settle(versions())
        result = run(spec)
        if is_first():
            write_atomically(path, as_json(result))


def launched(case: Case, spec: PruneSpec = SPEC) -> RunResult:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(case.processes)]
        environment = os.environ | {"OMP_NUM_THREADS": str(case.threads), "PYTHONPATH": str(ROOT)}
        own = [__file__, "--process", spec.to_json(), str(path)]
        subprocess.run([*start, *own], check=True, env=environment, capture_output=True)
        return RunResult.model_validate(json.loads(path.read_text()))


def scaling() -> str:
    found = {case: launched(case) for case in CASES}
    one = found[CASES[0]]
    rows = []
    for case, result in found.items():
        seconds = [sum(each.timings[stage] for stage in STAGES) for each in (one, result)]
        stages = (f"{result.timings[stage]:.1f}" for stage in STAGES)
        gained = f"{seconds[0] / seconds[1]:.2f} x"
        rows.append((case.processes, case.threads, *stages, f"{seconds[1]:.1f}", gained, *difference(result, one)))
    columns = (
        "processes",
        "threads of each",
        *(f"{stage}, s" for stage in STAGES),
        "in all, s",
        "speed",
        "sites that keep other units",
        "largest difference of an error",
    )
    assert one.calibration is not None
    head = (
        f"The default recipe on {SMOLLM2}, half of its neurons, {one.calibration.tokens:,} calibration tokens, nothing "
        "measured. Differences are beside one process with one thread."
    )
    return f"{head}\n\n{table(columns, rows)}"


def difference(result: RunResult, one: RunResult) -> tuple[int, str]:
    """Sites that keep other units than in the run ``one``, and the largest relative difference of an error."""
    pairs = list(zip(result.sites, one.sites, strict=True))
    errors = [(site.error["least-squares"], other.error["least-squares"]) for site, other in pairs]
    worst = max((abs(error / other - 1) if other else abs(error)) for error, other in errors)
    return sum(site.kept_units != other.kept_units for site, other in pairs), f"{worst:.0e}"


def equal() -> str:
    """Units of each demo model by other numbers of processes and threads."""
    rows = []
    for model in (*(preset.id for preset in PRESETS if preset.adapter), SMOLLM2):
        spec = PruneSpec.create(model=model, targets="both", ratio=0.5, tokens=6000)
        one = launched(CASES[0], spec)
        found = (difference(launched(case, spec), one) for case in CASES[1:])
        rows.append((model, len(one.sites), *(f"{sites} ({worst})" for sites, worst in found)))
        print(*rows[-1], file=sys.stderr, flush=True)
    columns = ("model", "sites", *(f"{case.processes} x {case.threads}" for case in CASES[1:]))
    head = (
        "Sites that keep other units than with one process of one thread, and the largest relative difference of an error, by "
        "processes x threads: default recipe, half of the heads and neurons, 6,000 tokens."
    )
    return f"{head}\n\n{table(columns, rows)}"


# -- on paper ----------------------------------------------------------------------------------------------------------

MODELS = {
    "LLaMA-7B": LlamaConfig(),
    "LLaMA-70B": LlamaConfig(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8
    ),
}


@dataclass(frozen=True)
class Operations:
    """Of a run, by the kind of their numbers; ``own`` ones are done by every process, in fp64."""

    half: float
    single: float
    own: float

    def seconds(self, processes: int) -> float:
        return (self.half / HALF + self.single / SINGLE) / processes + self.own / DOUBLE


def paper() -> str:
    rows = []
    for name, config in MODELS.items():
        tokens = AUTO_TOKENS_OF_A_MIX * config.intermediate_size
        spec = SPEC.model_copy(update={"tokens": tokens, "sequence_length": 2048})
        done, carried = operations(spec, shape_of(config)), collectives(config)
        for processes in (1, 4, 8):
            part = spec.model_copy(update={"tokens": tokens // processes})
            sent = 2 * (processes - 1) / processes * carried[1] / LINK
            rows.append(
                (
                    name if processes == 1 else "",
                    processes,
                    f"{tokens // processes:,}",
                    f"{2 * parameters(config) / 1e9:.0f} GB",
                    f"{2 * block(config) / 1e9:.2f} GB",
                    f"{moment_bytes(config.intermediate_size, DTYPE) / 1e9:.2f} GB",
                    f"{working_bytes(config, config.intermediate_size, DTYPE, PlannedWork.of(part)) / 1e9:.1f} GB",
                    f"{(done.half + done.single) / processes / 1e15:,.1f}",
                    f"{done.own / 1e15:,.1f}",
                    f"{carried[0]} of {carried[1] / 1e9:,.0f} GB in all" if processes > 1 else "none",
                    f"{done.seconds(processes) + sent:,.0f} s",
                )
            )
    columns = (
        "model",
        "GPUs",
        "tokens of each",
        "weights",
        "a block",
        "moments of a site",
        "work on each, at most",
        "shared operations of each, 10^15",
        "own, 10^15",
        "collectives",
        "expected",
    )
    head = (
        f"The default recipe, half of the neurons, {AUTO_TOKENS_OF_A_MIX} calibration tokens for each channel of the FFN in "
        f"sequences of 2,048, {str(DTYPE).removeprefix('torch.')}. The rates are {HALF / 1e12:.0f} x 10^12 operations a second "
        f"in forward and backward passes, {SINGLE / 1e12:.0f} in fp32 and {DOUBLE / 1e12:.0f} in fp64, and {LINK / 1e9:.0f} GB "
        "a second between two GPUs; loading, reading and measuring come on top. None of it is measured."
    )
    return f"{head}\n\n{table(columns, rows)}"


def operations(spec: PruneSpec, shape: Shape) -> Operations:
    """The operations of a run that measures nothing, taken from the estimate of its seconds."""
    amounts = Amounts(tokens=int(spec.tokens), length=spec.sequence_length, tasks={})
    sample = estimates.sample(shape, amounts)
    sites = shape.chosen(spec.targets)
    forward = [shape.forward(each.tokens, each.length, head=False) for each in (amounts, sample)]
    half = estimates.gradients_cost(shape, amounts, masks=spec.needs_mask_gradients, signs=spec.needs_signs)
    moments = [
        estimates.walk_cost(shape, amounts, spec.targets) - forward[0],
        estimates.walk_cost(shape, sample, spec.targets, norm_aware=spec.surveys_norm_aware) - forward[1],
        estimates.drift_cost(shape, amounts, spec.targets) - forward[0],
    ]
    own = sum(
        2 * estimates.scores_cost(site, spec.criterion)
        + estimates.curve_cost(site)
        + estimates.repair_cost(site, spec.ratio)
        for site in sites
    )
    pace = estimates.OPERATIONS
    return Operations(pace * (half + 2 * forward[0] + forward[1]), pace * sum(moments), pace * own)


def collectives(config: LlamaConfig) -> tuple[int, float]:
    """Number and bytes of the sums over all processes: two a site in both walks, and those of the gradients."""
    sites = config.num_hidden_layers
    return 4 * sites + 1 + sites, sum(_sums(config)) * sites


def _sums(config: LlamaConfig) -> Iterator[float]:
    """Bytes for each site."""
    channels, width = config.intermediate_size, config.hidden_size
    triangle = 4 * 9 / 16 * channels**2  # in eight blocks of columns
    yield triangle  # of the survey
    yield 2 * triangle + 4 * channels * width  # plain and norm-aware moments, and the drift
    yield 4 * width**2  # gradients at the outputs


def shape_of(config: LlamaConfig) -> Shape:
    width, channels = config.hidden_size, config.intermediate_size
    ffn = SiteShape("ffn", channels, width, 3 * channels * width)
    return Shape(
        blocks=config.num_hidden_layers * block(config),
        head=config.vocab_size * width,
        layers=config.num_hidden_layers,
        width=width,
        sites=(ffn,) * config.num_hidden_layers,
        writes=True,
    )


def block(config: LlamaConfig) -> int:
    """Parameters of a block."""
    width, heads = config.hidden_size, config.num_attention_heads
    attention = 2 * width * (width // heads) * (heads + (config.num_key_value_heads or heads))
    return attention + 3 * width * config.intermediate_size + 2 * width


def parameters(config: LlamaConfig) -> int:
    return config.num_hidden_layers * block(config) + 2 * config.vocab_size * config.hidden_size + config.hidden_size


SECTIONS = {"scaling": scaling, "equal": equal, "paper": paper}

if __name__ == "__main__":
    main()
