"""Cost of a run, compared with a floor: the work that no implementation can avoid.

The floor is one dense forward pass of the calibration tokens through the blocks, the covariance products of every site
(plain of all tokens, norm-aware of a sample; full fp32 products of centred rows), and one least-squares solve per site.
Loading and evaluation are excluded. Each job runs in its own process, to measure its own peak memory.

The default recipe has a limit in the same floor, and beside it a floor of its own: one forward, the passes from random
slopes at the logits of as many tokens as allocate, the same products, and one order and one solve per site.

    python benchmarks/cost.py            prints seconds, ratios and peak memory; exits 1 above the limits
    python benchmarks/cost.py --write    also puts them into docs/results/cost.md, between its markers
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from liar.cli.startup import settle_threads

settle_threads()

import torch
from readme import plain, write
from rich.table import Table

from liar import LoadedModel, PruneSpec, load_model, stream
from liar.calibration.sample import MEAN_TOKENS, divided, sensitivity_tokens, stride
from liar.data.corpora import text_steps
from liar.events import Finished, Loaded
from liar.maths.criteria import Evidence, obs
from liar.maths.moments import Moments
from liar.maths.solver import RIDGE
from liar.models.loaded import bytes_in_memory
from liar.progress import finish
from liar.report.words.run_labels import token_words
from liar.runtime.devices import Batch
from liar.runtime.memory import BACKWARD_SEQUENCES
from liar.spec import Schedule

SPEC = PruneSpec(criterion="fluctuation", allocation="uniform", schedule="one-shot", targets="ffn", ratio=0.5)
LIMITS: dict[Schedule, float] = {"one-shot": 1.25, "sequential": 1.6}
MEMORY_LIMIT = 1.5e9
"""Bytes beyond the model and the moments of all targeted sites; a third of them is Python and its libraries."""
DEFAULT = "default"
DEFAULT_LIMIT = 2.0
"""Most of the default recipe, in the floor of a one-shot run."""
DEFAULT_MEMORY_LIMIT = 2.0e9
"""Bytes of the whole process with the default recipe; the model takes 0.54e9 of them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", choices=[*LIMITS, DEFAULT], help=argparse.SUPPRESS)
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each part; the fastest counts")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(job(arguments.job)))
        return 0
    if arguments.floor:
        print(json.dumps(floor()))
        return 0
    text, is_within = compare(arguments.repeat)
    print(text)
    if arguments.write:
        write("cost", text)
    return 0 if is_within else 1


def compare(repeat: int) -> tuple[str, bool]:
    """Interleave floor and jobs, so that a slow phase of the machine affects all of them.

    Returns the table and whether everything is within its limit.
    """
    floors: list[dict[str, float]] = []
    jobs: dict[Schedule, list[dict[str, float]]] = {name: [] for name in LIMITS}
    defaults: list[dict[str, float]] = []
    for _ in range(repeat):
        floors.append(in_own_process("--floor"))
        for name, found in jobs.items():
            found.append(in_own_process("--job", name))
        defaults.append(in_own_process("--job", DEFAULT))
    parts = ("forward", "covariance", "solves", "backward", "orders")
    best = {part: min(found[part] for found in floors) for part in parts}
    least = sum(best[part] for part in ("forward", "covariance", "solves"))
    own = sum(best.values())
    title = f"{SPEC.model}, {token_words(SPEC.tokens)}, FFN {SPEC.ratio:.0%}, uniform, fp32, {torch.get_num_threads()} threads"
    table = Table("part", "seconds", "x floor", "limit", "peak memory", "limit", box=None)
    for part, seconds in best.items():
        table.add_row(part, f"{seconds:.2f}", f"{seconds / least:.2f}")
    table.add_row("floor", f"{least:.2f}", "1.00")
    table.add_row(f"floor of {DEFAULT}", f"{own:.2f}", f"{own / least:.2f}")
    ok = True
    for name, found in jobs.items():
        fastest = min(found, key=lambda measured: measured["seconds"])
        ratio = fastest["seconds"] / least
        allowed = floors[0]["model_bytes"] + floors[0]["moment_bytes"] + MEMORY_LIMIT
        peak = max(measured["peak_bytes"] for measured in found)
        ok &= ratio <= LIMITS[name] and peak <= allowed
        table.add_row(
            name,
            f"{fastest['seconds']:.2f}",
            f"{ratio:.2f}",
            f"{LIMITS[name]:.2f}",
            f"{peak / 1e9:.2f} GB",
            f"{allowed / 1e9:.2f} GB",
        )
    fastest = min(defaults, key=lambda measured: measured["seconds"])
    peak = max(measured["peak_bytes"] for measured in defaults)
    ratio = fastest["seconds"] / least
    ok &= ratio <= DEFAULT_LIMIT and peak <= DEFAULT_MEMORY_LIMIT
    for stage in ("gradients", "calibrate", "prune"):
        table.add_row(f"{DEFAULT}: {stage}", f"{fastest[stage]:.2f}")
    memory = (f"{peak / 1e9:.2f} GB", f"{DEFAULT_MEMORY_LIMIT / 1e9:.2f} GB")
    table.add_row(DEFAULT, f"{fastest['seconds']:.2f}", f"{ratio:.2f}", f"{DEFAULT_LIMIT:.2f}", *memory)
    words = f"The default recipe takes {fastest['seconds'] / own:.2f} times its own floor."
    return f"{plain(table, title)}\n\n{words}", ok


def in_own_process(*options: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def job(name: str) -> dict[str, float]:
    """Timings, seconds and peak memory of a whole run; the peak is measured after the model is loaded."""
    spec = PruneSpec() if name == DEFAULT else SPEC.model_copy(update={"schedule": name})
    for event in stream(spec):
        if isinstance(event, Loaded):
            Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak of loading
        elif isinstance(event, Finished):
            timings = event.result.timings
    seconds = sum(value for stage, value in timings.items() if stage not in ("load", "evaluate", "generate"))
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {**timings, "seconds": seconds, "peak_bytes": peak * 1024.0}


@torch.no_grad()
def floor() -> dict[str, float]:
    """Seconds of the parts of the floor, and the bytes of the model and of all moments."""
    loaded = load_model(SPEC.model, "cpu", "float32")
    batches, _, _ = finish(text_steps(SPEC, loaded))
    sites = loaded.adapter.sites(SPEC.targets)
    base = loaded.adapter.base
    base(**batches[0])  # warm up
    start = time.perf_counter()
    for batch in batches:
        base(**batch, use_cache=False)
    forward = time.perf_counter() - start

    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    backward = backward_seconds(loaded, divided(batches, sensitivity_tokens(loaded.adapter.widest, tokens))[0])
    seconds = {"covariance": 0.0, "solves": 0.0, "orders": 0.0}
    for site in sites:
        d, kept = site.channels, site.channels // 2
        weight = loaded.adapter.consumer(site).weight.T
        chunks = torch.randn(tokens, d).split(tokens // len(batches))
        covariance = torch.zeros(d, d)
        start = time.perf_counter()
        for chunk in chunks:
            covariance.addmm_(chunk.T, chunk)
        seconds["covariance"] += (1 + 1 / stride(tokens, d, MEAN_TOKENS)) * (time.perf_counter() - start)
        covariance /= tokens
        start = time.perf_counter()
        block = covariance[:kept, :kept].clone()
        block.diagonal().mul_(1 + RIDGE)
        torch.cholesky_solve(covariance[:kept, kept:] @ weight[kept:], torch.linalg.cholesky(block))
        seconds["solves"] += time.perf_counter() - start
        moments = Moments(tokens, float(tokens), torch.zeros(d), covariance)
        start = time.perf_counter()
        obs(Evidence(site, moments, weight))
        seconds["orders"] += time.perf_counter() - start
    return {
        "forward": forward,
        "backward": backward,
        **seconds,
        "model_bytes": float(bytes_in_memory(loaded.model)),
        "moment_bytes": 2.0 * 4 * sum(site.channels**2 for site in sites),
    }


@torch.enable_grad()
def backward_seconds(loaded: LoadedModel, batches: Sequence[Batch]) -> float:
    """Seconds of a forward and a backward pass of the whole model, without gradients of its weights."""
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    start = time.perf_counter()
    for batch in batches:
        for ids in batch["input_ids"].split(BACKWARD_SEQUENCES):
            embedded = loaded.model.get_input_embeddings()(ids).requires_grad_()
            logits = loaded.model(inputs_embeds=embedded, use_cache=False).logits
            torch.autograd.grad(logits, embedded, torch.ones_like(logits))
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
