"""Size and speed of saved models: the dense and the pruned one, each loaded from its own folder, side by side.

Half of the FFN neurons are removed, uniformly. The calibration text is short, since size and speed depend on the number
of kept neurons only; figures.py measures the quality.

    python benchmarks/saved.py           prints the tables (two minutes on two cores); exits 1 if a saved model is slower, or
                                         saving takes more than 10 s or more extra memory than the size of the model
    python benchmarks/saved.py --write   also puts them into docs/results/cost.md, between its markers
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from readme import command_line, forget_peak, memory, show, table

from liar import PruneSpec, load_model, save_model, stream
from liar.evaluate.timing.size_and_speed import compare_steps
from liar.events import Finished
from liar.loading.catalog import bytes_on_disk
from liar.progress import finish
from liar.report.costs import CostsResult
from liar.report.words.cost_sentences import rows, sentences, trend

MODELS = {"demo/smollm2-135m": "SmolLM2-135M", "demo/minilm-sentiment": "MiniLM with a sentiment head"}
REPEATS = 21
MOST_SECONDS = 10.0


@dataclass(frozen=True)
class Saving:
    """Cost of writing the pruned model: seconds, and its peak memory beyond that before, in bytes."""

    seconds: float
    more_bytes: int


def main() -> int:
    writes = command_line(__doc__).parse_args().write
    results = {name: measured(model) for model, name in MODELS.items()}
    show("saved", "\n".join(section(name, *found) for name, found in results.items()), writes)
    failures = [words for name, found in results.items() for words in failures_of(name, *found)]
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


def failures_of(name: str, saving: Saving, result: CostsResult) -> list[str]:
    slower = [f"{name}: slower than dense at {speed.work}" for speed in result.speeds if trend(speed.gain) == "slower"]
    slow = [f"{name}: saved in {saving.seconds:.1f} s"] if saving.seconds > MOST_SECONDS else []
    large = [f"{name}: saving took the model once more"] if saving.more_bytes > result.pruned.bytes_in_memory else []
    return slower + slow + large


def measured(model: str) -> tuple[Saving, CostsResult]:
    """Prune ``model``, save it dense and pruned, load both again and compare their size and speed."""
    uniform = {"criterion": "fluctuation", "allocation": "uniform", "schedule": "one-shot"}
    spec = PruneSpec.create(model=model, targets="ffn", ratio=0.5, tokens=2048, **uniform)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("dense", "pruned")]
        save_model(load_model(model), folders[0])
        for event in stream(spec):
            if isinstance(event, Finished) and event.model is not None:
                forget_peak()  # of pruning
                before, start = memory("VmRSS"), time.perf_counter()
                save_model(event.model, folders[1], event.result)
                saving = Saving(time.perf_counter() - start, memory("VmHWM") - before)
        models = [load_model(str(folder)) for folder in folders]
        on_disk = (bytes_on_disk(str(folders[0])), bytes_on_disk(str(folders[1])))
        return saving, finish(compare_steps(*models, repeats=REPEATS, on_disk=on_disk))


def section(name: str, saving: Saving, result: CostsResult) -> str:
    """The table of one model, and its summary in sentences."""
    found = result.environment
    machine = f"{found['device_name']}, {found['dtype']}, {found['threads']} threads, torch {found['torch']}"
    return (
        f"### {name}, half of the FFN neurons gone, saved and loaded again\n\n"
        f"{table(('cost', 'dense', 'saved', 'change'), rows(result))}\n\n"
        f"Medians of {result.repeats} turns with their quartiles; {machine}. {' '.join(sentences(result))} "
        f"Saved in {saving.seconds:.2f} s, with {saving.more_bytes / 1e6:,.0f} MB more in memory at most.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
