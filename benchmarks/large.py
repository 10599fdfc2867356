"""Several processes, and models larger than the demo: what sharing a text gains here, and what it should gain elsewhere.

    python benchmarks/large.py            prints the tables (twenty minutes on two cores)
    python benchmarks/large.py --only paper
    python benchmarks/large.py --write    also puts them into docs/large.md, between its markers

The table of larger models is arithmetic: the operations of the project's own estimate (:mod:`liar.jobs.estimates`) and the
rates below. What every process does for itself (scores, curves and repairs of every site) is not divided among them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from figures import SMOLLM2
from gpu import STAGES, Operations, model_of, work_of
from readme import ROOT, sections, table
from transformers import LlamaConfig

from liar import PruneSpec
from liar.jobs.estimates import OPERATIONS, Estimate
from liar.models.loaded import parameter_count
from liar.presets import PRESETS
from liar.results import RunResult
from liar.runtime.memory import PlannedWork, moment_bytes, working_bytes
from liar.spec import AUTO_TOKENS_OF_A_MIX

SPEC = PruneSpec.create(model=SMOLLM2, ratio=0.5, evaluate=())

RATES, LINK = Operations(300e12, 40e12, 30e12), 100e9
"""Operations per second of a large GPU in forward and backward passes of 16 bits, in products of fp32 and of fp64, and bytes
per second between two of them: about a third to a half of what the makers of an H100 give."""


@dataclass(frozen=True)
class Case:
    """So many processes, each with so many threads."""

    processes: int
    threads: int


CASES = (Case(1, 1), Case(2, 1), Case(1, 2))


# -- measured here -----------------------------------------------------------------------------------------------------


def launched(case: Case, spec: PruneSpec = SPEC) -> RunResult:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(case.processes)]
        environment = os.environ | {"OMP_NUM_THREADS": str(case.threads), "PYTHONPATH": str(ROOT)}
        recipe = [f"--targets={spec.targets}", f"--ratio={spec.ratio}", f"--tokens={spec.tokens}", f"--json={path}"]
        command = [*start, "-m", "liar", "prune", spec.model, *recipe]
        subprocess.run(command, check=True, env=environment, capture_output=True)
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
    stages = (f"{stage}, s" for stage in STAGES)
    changed = ("sites that keep other units", "largest difference of an error")
    columns = ("processes", "threads of each", *stages, "in all, s", "speed", *changed)
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


def paper() -> str:
    rows = []
    for name, config in MODELS.items():
        tokens = AUTO_TOKENS_OF_A_MIX * config.intermediate_size
        spec = SPEC.model_copy(update={"tokens": tokens, "sequence_length": 2048})
        loaded = model_of(config.num_hidden_layers, torch.device("meta"), config)
        dtype = loaded.model.dtype
        shared, own = operations(Estimate.of(spec, loaded))
        number, sent = collectives(config)
        for processes in (1, 4, 8):
            part = spec.model_copy(update={"tokens": tokens // processes})
            work = Operations(shared.model / processes, shared.single / processes, own)
            sending = 2 * (processes - 1) / processes * sent / LINK
            rows.append(
                (
                    name if processes == 1 else "",
                    processes,
                    f"{tokens // processes:,}",
                    f"{2 * parameter_count(loaded.model) / 1e9:.0f} GB",
                    f"{2 * parameter_count(loaded.adapter.layers[0]) / 1e9:.2f} GB",
                    f"{moment_bytes(config.intermediate_size, dtype) / 1e9:.2f} GB",
                    f"{working_bytes(config, config.intermediate_size, dtype, PlannedWork.of(part)) / 1e9:.1f} GB",
                    f"{(work.model + work.single) / 1e15:,.1f}",
                    f"{own / 1e15:,.1f}",
                    f"{number} of {sent / 1e9:,.0f} GB in all" if processes > 1 else "none",
                    f"{work.seconds(RATES) + sending:,.0f} s",
                )
            )
    sizes = ("tokens of each", "weights", "a block", "moments of a site", "work on each, at most")
    done = ("shared operations of each, 10^15", "own, 10^15", "collectives", "expected")
    columns = ("model", "GPUs", *sizes, *done)
    head = (
        f"The default recipe, half of the neurons, {AUTO_TOKENS_OF_A_MIX} calibration tokens for each channel of the FFN in "
        f"sequences of 2,048, {str(dtype).removeprefix('torch.')}. The rates are {RATES.model / 1e12:.0f} x 10^12 operations a "
        f"second in forward and backward passes, {RATES.single / 1e12:.0f} in fp32 and {RATES.double / 1e12:.0f} in fp64, and "
        f"{LINK / 1e9:.0f} GB a second between two GPUs; loading, reading and measuring come on top. None of it is measured."
    )
    return f"{head}\n\n{table(columns, rows)}"


def operations(estimate: Estimate) -> tuple[Operations, float]:
    """Operations of a run that measures nothing: those that processes share, and in fp64 those that each does for itself."""
    spec, stages = estimate.spec, work_of(estimate).values()
    own = sum(2 * site.scores(spec.importance) + site.curve() + site.repair(spec.ratio) for site in estimate.sites)
    shared = Operations(sum(stage.model for stage in stages), sum(stage.single for stage in stages))
    return shared, own * OPERATIONS


def collectives(config: LlamaConfig) -> tuple[int, float]:
    """Number and bytes of the sums over all processes: two a site in both walks, and those of the gradients."""
    sites, channels, width = config.num_hidden_layers, config.intermediate_size, config.hidden_size
    triangle = 4 * 9 / 16 * channels**2  # of the survey, in eight blocks of columns
    moments = 2 * triangle + 4 * channels * width  # plain and norm-aware ones, and the drift
    return 4 * sites + 1 + sites, (triangle + moments + 4 * width**2) * sites  # the last: gradients at the outputs


SECTIONS = {"scaling": ("", scaling), "equal": ("", equal), "paper": ("", paper)}

if __name__ == "__main__":
    sections(__doc__, SECTIONS)
