"""Accuracy of the time left that a run shows: six runs of different models, compared step by step.

At every step the estimated time left is compared with the time that the rest took. After 20 % of the run neither may be
more than twice the other; both count as at least two seconds. An estimate never rises by more than a third above an
earlier one.

    python benchmarks/estimates.py                       does the runs, prints the worst factor of each, exits 1 above 2
    python benchmarks/estimates.py --record FOLDER       also writes their timelines, which the tests replay
    python benchmarks/estimates.py --replay FOLDER       the same figures for written timelines, with the present estimate
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from liar.cli.startup import settle_threads

settle_threads()
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the panels, which are no installed package

import torch
from gpu import RECIPES, model_of
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig

from components.shared.job_bodies import preset_prompts
from liar import PruneSpec, load_model, stream
from liar.data.corpora import text_steps
from liar.events import Progress
from liar.jobs.estimates import Estimate
from liar.jobs.plan import run_parts
from liar.models.loaded import LoadedModel
from liar.progress import Pace, Part, finish

LIMIT = 2.0
FROM = 0.2
"""Share of a run after which the limit applies to its estimate."""
NEGLIGIBLE_SECONDS = 2.0
"""Seconds; shorter times, estimated or true, count as this."""

LANGUAGE_MODEL = "demo/smollm2-135m"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A recorded run: its plan, and its steps as (seconds, part, done, total)."""

    name: str
    seconds: float
    parts: list[Part]
    steps: list[tuple[float, str, int, int]]


_FORMAT = TypeAdapter(Timeline)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="keep the timelines in this folder")
    parser.add_argument("--replay", type=Path, help="do no run: read the timelines of this folder")
    parser.add_argument("--only", choices=RUNS, action="append", help="not all of the runs")
    arguments = parser.parse_args()
    table = Table("run", "seconds", "worst factor", "at", box=None)
    worst = 0.0
    for name in arguments.only or RUNS:
        timeline = read(arguments.replay / f"{name}.json") if arguments.replay else record(name)
        if arguments.record:
            arguments.record.mkdir(parents=True, exist_ok=True)
            (arguments.record / f"{name}.json").write_bytes(_FORMAT.dump_json(timeline) + b"\n")
        factor, at = worst_factor(timeline)
        worst = max(worst, factor)
        table.add_row(name, f"{timeline.seconds:.1f}", f"{factor:.2f}", at)
    Console().print(table)
    return int(worst > LIMIT)


def read(path: Path) -> Timeline:
    return _FORMAT.validate_json(path.read_bytes())


def record(name: str) -> Timeline:
    """Do a run and record the time of each step."""
    spec, make, prompts = RUNS[name]
    loaded = make()
    batches, _, _ = finish(text_steps(spec, loaded))
    estimate = replace(Estimate.of(spec, loaded, batches), prompts=len(prompts))
    steps: list[tuple[float, str, int, int]] = []
    begun = time.perf_counter()
    for event in stream(spec, loaded, prompts=prompts):
        now = time.perf_counter()
        if isinstance(event, Progress):
            if event.part:
                steps.append((now, event.part, event.done, event.total))
            else:
                begun = now
    return Timeline(
        name,
        round(now - begun, 2),
        [Part(part.name, round(part.cost, 3), part.kind) for part in run_parts(estimate)],
        [(round(at - begun, 2), *step) for at, *step in steps],  # type: ignore[misc]
    )


def worst_factor(timeline: Timeline) -> tuple[float, str]:
    """Largest factor between estimated and true time left, and a description of the step at which it occurred."""
    worst, where = 1.0, ""
    for now, part, left in shown(timeline):
        if now < FROM * timeline.seconds:
            continue
        true, estimate = max(timeline.seconds - now, NEGLIGIBLE_SECONDS), max(left or 0.0, NEGLIGIBLE_SECONDS)
        factor = float("inf") if left is None else max(true / estimate, estimate / true)
        if factor > worst:
            worst, where = factor, f"{now / timeline.seconds:.0%} ({part}): {estimate:.1f} s for {true:.1f} s"
    return worst, where


def shown(timeline: Timeline) -> Iterator[tuple[float, str, float | None]]:
    """For each step its time in seconds, its part, and the seconds left that are shown then."""
    now = 0.0
    pace = Pace(timeline.parts, clock=lambda: now)
    for now, part, done, total in timeline.steps:
        yield now, part, pace.at(part, "prune", done, total, "").seconds_left


def untrained(name: str, width: int, neurons: int, layers: int, heads: int) -> LoadedModel:
    """A LLaMA with random weights and the vocabulary of SmolLM2."""
    tokenizer = load_model(LANGUAGE_MODEL).tokenizer
    special = {each: getattr(tokenizer, each) for each in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=neurons,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        tie_word_embeddings=True,
        **special,
    )
    model = model_of(layers, torch.device("cpu"), config)
    return replace(model, id=name, tokenizer=tokenizer, task="perplexity")


Run = tuple[PruneSpec, Callable[[], LoadedModel], list[str]]


def _demo(model: str, prompts: bool = True, **choices: object) -> Run:
    spec = PruneSpec.create(model=model, **choices)
    return spec, lambda: load_model(model), preset_prompts(model) if prompts else []


RUNS: dict[str, Run] = {
    "smollm2": _demo(LANGUAGE_MODEL, evaluate=("perplexity",)),
    "smollm2-heads": _demo(LANGUAGE_MODEL, False, evaluate=("perplexity",), targets="heads", **RECIPES["one-shot"]),
    "sentiment-both": _demo("demo/minilm-sentiment", evaluate=("sentiment",), targets="both"),
    "topic-ffn": _demo("demo/minilm-topic", evaluate=("topic",), evaluate_limit=400),
    "llama-100m": (
        PruneSpec.create(model="random/llama-100m", evaluate=("perplexity",), ratio=0.3, tokens=6_144),
        lambda: untrained("random/llama-100m", 1024, 2816, layers=8, heads=16),
        [],
    ),
    "llama-small": (
        PruneSpec.create(model="random/llama-small", evaluate=("perplexity",)),
        lambda: untrained("random/llama-small", 256, 704, layers=4, heads=4),
        preset_prompts(LANGUAGE_MODEL),
    ),
}
"""By name: a recipe, the function that makes its model, and the prompts."""


if __name__ == "__main__":
    sys.exit(main())
