"""Cost of a run, compared with a floor: the work that no implementation can avoid.

The floor is one dense forward pass of the calibration tokens through the blocks, the covariance products of every site
(plain of all tokens, norm-aware of a sample; full fp32 products of centred rows), and one least-squares solve per site.
Loading and evaluation are excluded. Each job runs in its own process, to measure its own peak memory.

The default recipe has a limit in the same floor, and beside it a floor of its own: one forward, the passes from random
slopes at the logits of as many tokens as allocate, the same products, and one order and one solve per site.

The self-check of a loaded model (:mod:`liar.models.self_check`) has a limit of its own, in seconds and in memory.

    python benchmarks/cost.py            prints seconds, ratios and peak memory; exits 1 above the limits
    python benchmarks/cost.py --check    the same of the self-check alone (a minute)
    python benchmarks/cost.py --embedder what the loss of an embedder takes, and a whole run of one (some minutes)
    python benchmarks/cost.py --write    also puts them into docs/results/cost.md, between its markers
"""

from __future__ import annotations

import json
import sys
import time
from argparse import SUPPRESS
from collections.abc import Sequence

from liar.cli.startup import settle_threads

settle_threads()

import torch
from readme import command_line, forget_peak, in_own_process, memory, plain, show
from readme import table as markdown
from rich.table import Table

from liar import LoadedModel, PruneSpec, load_model, stream
from liar.calibration.sample import MEAN_TOKENS, divided, sensitivity_tokens, stride
from liar.data.corpora import text_steps
from liar.events import Finished, Loaded
from liar.maths.criteria import Evidence, obs
from liar.maths.moments import Moments
from liar.maths.solver import RIDGE
from liar.models.loaded import bytes_in_memory, parameter_count
from liar.models.self_check import check_walk, largest_difference
from liar.presets import OF_AN_EMBEDDER
from liar.progress import finish
from liar.report.words.sentences import token_words
from liar.runtime.devices import Batch
from liar.runtime.memory import BACKWARD_SEQUENCES

SPEC = PruneSpec(criterion="fluctuation", allocation="uniform", schedule="one-shot", targets="ffn", ratio=0.5)
DEFAULT = "default"
LIMITS = {"one-shot": 1.25, "sequential": 1.6, DEFAULT: 2.0}
"""Most seconds of the jobs, in the floor of a one-shot run: the schedules of :data:`SPEC`, then the default recipe."""
MEMORY_LIMIT = 1.5e9
"""Bytes beyond the model and the moments of all targeted sites; a third of them is Python and its libraries."""
EMBEDDER = "demo/minilm"
CHECK_LIMIT, CHECK_MEMORY_LIMIT = 1.0, 100e6
"""Most seconds of the self-check, and bytes beside the model."""
DEFAULT_MEMORY_LIMIT = 2.0e9
"""Bytes of the whole process with the default recipe; the model takes 0.54e9 of them."""


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--job", choices=(*LIMITS, EMBEDDER), help=SUPPRESS)
    parser.add_argument("--embedder", action="store_true")
    parser.add_argument("--floor", action="store_true", help=SUPPRESS)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each part; the fastest counts")
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(job(arguments.job)))
        return 0
    if arguments.floor:
        print(json.dumps(floor()))
        return 0
    if arguments.embedder:
        show("embedder_cost", embedder_cost(), arguments.write)
        return 0
    if arguments.check:
        text, is_within = self_checks()
        show("self_check", text, arguments.write)
        return 0 if is_within else 1
    text, is_within = compare(arguments.repeat)
    show("cost", text, arguments.write)
    return 0 if is_within else 1


def compare(repeat: int) -> tuple[str, bool]:
    """Interleave floor and jobs, so that a slow phase of the machine affects all of them.

    Returns the table and whether everything is within its limit.
    """
    floors: list[dict[str, float]] = []
    jobs: dict[str, list[dict[str, float]]] = {name: [] for name in LIMITS}
    for _ in range(repeat):
        floors.append(alone("--floor"))
        for name, found in jobs.items():
            found.append(alone("--job", name))
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
    most = floors[0]["model_bytes"] + floors[0]["moment_bytes"] + MEMORY_LIMIT
    for name, found in jobs.items():
        fastest, peak = min(found, key=lambda measured: measured["seconds"]), max(each["peak_bytes"] for each in found)
        ratio, allowed = fastest["seconds"] / least, DEFAULT_MEMORY_LIMIT if name == DEFAULT else most
        ok &= ratio <= LIMITS[name] and peak <= allowed
        for stage in ("gradients", "calibrate", "prune") if name == DEFAULT else ():
            table.add_row(f"{DEFAULT}: {stage}", f"{fastest[stage]:.2f}")
        figures = (f"{fastest['seconds']:.2f}", f"{ratio:.2f}", f"{LIMITS[name]:.2f}")
        table.add_row(name, *figures, f"{peak / 1e9:.2f} GB", f"{allowed / 1e9:.2f} GB")
    words = f"The default recipe takes {fastest['seconds'] / own:.2f} times its own floor."
    return f"{plain(table, title)}\n\n{words}", ok


def self_checks() -> tuple[str, bool]:
    """The table of the self-check, and whether it is within its limits."""
    rows, ok = [], True
    for model in (SPEC.model, "demo/minilm-sentiment"):
        loaded = load_model(model, "cpu", "float32")
        forget_peak()
        before = memory("VmRSS")
        check_walk(loaded.adapter)
        more, start = memory("VmHWM") - before, time.perf_counter()
        check_walk(loaded.adapter)  # what the first call loads is paid once
        seconds = time.perf_counter() - start
        ok &= seconds <= CHECK_LIMIT and more <= CHECK_MEMORY_LIMIT
        size = f"{parameter_count(loaded.model) / 1e6:.1f} M"
        rows.append((model, size, f"{seconds:.2f}", f"{largest_difference(loaded.adapter):g}", f"{more / 1e6:.0f} MB"))
    return markdown(("model", "parameters", "seconds", "largest difference", "memory beside the model"), rows), ok


def embedder_cost() -> str:
    """What a run of an embedder takes, beside one forward of its calibration text."""
    found, loaded = alone("--job", EMBEDDER), load_model(EMBEDDER, "cpu", "float32")
    batches, _, text = finish(text_steps(PruneSpec(model=EMBEDDER), loaded))
    start = time.perf_counter()
    with torch.no_grad():
        for batch in batches:
            loaded.model(**batch)
    forward = time.perf_counter() - start
    names = {
        "gradients": "loss: two passes of a sample, for kfac, sensitivities and coherence",
        "calibrate": "moments of the dense model, curves",
        "prune": "moments, drift and repairs of the pruned model",
        "seconds": "the run, without loading and measuring",
    }
    rows = [("one forward of the calibration text", f"{forward:.1f}", "1.0")]
    rows += [(words, f"{found[name]:.1f}", f"{found[name] / forward:.1f}") for name, words in names.items()]
    head = f"{EMBEDDER}, half of heads and neurons, default recipe, {text.tokens:,} tokens in {text.sequences:,} texts"
    return (
        f"{head}; peak memory {found['peak_bytes'] / 1e9:.2f} GB.\n\n{markdown(('part', 'seconds', 'x forward'), rows)}"
    )


def alone(*options: str) -> dict[str, float]:
    measured: dict[str, float] = json.loads(in_own_process(__file__, *options))
    return measured


def job(name: str) -> dict[str, float]:
    """Timings, seconds and peak memory of a whole run; the peak is measured after the model is loaded."""
    spec = PruneSpec() if name == DEFAULT else SPEC.model_copy(update={"schedule": name})
    if name == EMBEDDER:
        spec = PruneSpec(model=EMBEDDER, targets="both", allocation=OF_AN_EMBEDDER)
    for event in stream(spec):
        if isinstance(event, Loaded):
            forget_peak()  # of loading
        elif isinstance(event, Finished):
            timings = event.result.timings
    seconds = sum(value for stage, value in timings.items() if stage not in ("load", "evaluate", "generate"))
    return {**timings, "seconds": seconds, "peak_bytes": float(memory("VmHWM"))}


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
    moment_bytes = 2.0 * 4 * sum(site.channels**2 for site in sites)
    sizes = {"model_bytes": float(bytes_in_memory(loaded.model)), "moment_bytes": moment_bytes}
    return {"forward": forward, "backward": backward, **seconds, **sizes}


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
