"""What a saved model saves: the dense and the pruned one, each loaded from a folder of its own, size and speed side by side.

Half of the FFN neurons go, uniformly. The text is short, since sizes and speeds depend on how many neurons stay and not on
which; for what pruning costs in quality see figures.py.

    python benchmarks/saved.py           prints the tables (two minutes on two cores); exits 1 where a saved model is slower
    python benchmarks/saved.py --write   also puts them into the README, between its markers
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from liar.threads import settle_threads

settle_threads()

from readme import table, write

from liar import PruneSpec, load_model, save_model, stream
from liar.costs import compare_steps
from liar.events import Finished
from liar.gain import is_slower, rows, sentences
from liar.models.catalog import bytes_on_disk
from liar.results import CostsResult
from liar.timing import finish

MODELS = {"demo/smollm2-135m": "SmolLM2-135M", "demo/minilm-sentiment": "MiniLM with a sentiment head"}
REPEATS = 21


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    results = {name: measured(model) for model, name in MODELS.items()}
    text = "\n".join(section(name, result) for name, result in results.items())
    print(text, flush=True)
    if arguments.write:
        write("saved", text)
    slower = [f"{name}, {speed.work}" for name, found in results.items() for speed in found.speeds if is_slower(speed)]
    print("\n".join(f"Slower than dense: {words}" for words in slower), file=sys.stderr)
    return 1 if slower else 0


def measured(model: str) -> CostsResult:
    """Prune ``model``, save it before and after, and time what loads from both folders."""
    spec = PruneSpec(
        model=model,
        targets="ffn",
        ratio=0.5,
        criterion="fluctuation",
        allocation="uniform",
        reconstruction="least-squares",
        schedule="one-shot",
        tokens=2048,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("dense", "pruned")]
        save_model(load_model(model), folders[0])
        for event in stream(spec):
            if isinstance(event, Finished) and event.model is not None:
                save_model(event.model, folders[1], event.result)
        dense, pruned = (load_model(str(folder)) for folder in folders)
        on_disk = (bytes_on_disk(str(folders[0])), bytes_on_disk(str(folders[1])))
        return finish(compare_steps(dense, pruned, repeats=REPEATS, on_disk=on_disk))


def section(name: str, result: CostsResult) -> str:
    """The table of one model, and what it comes to."""
    found = result.environment
    machine = f"{found['device_name']}, {found['dtype']}, {found['threads']} threads, torch {found['torch']}"
    cells = [(row.name, row.dense, row.pruned, row.change) for row in rows(result)]
    return (
        f"#### {name}, half of the FFN neurons gone, saved and loaded again\n\n"
        f"{table(('cost', 'dense', 'saved', 'change'), cells)}\n\n"
        f"Medians of {result.repeats} turns with their quartiles; {machine}. {' '.join(sentences(result))}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
