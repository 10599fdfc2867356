"""Shapes that hardware likes: layers of any width, of multiples of 64, and all of one width; loss and speed of SmolLM2.

python benchmarks/shapes.py            prints the table (three quarters of an hour on two cores)
python benchmarks/shapes.py --write    also puts it into docs/results/runtimes.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from budgets import gain, lost
from figures import SMOLLM2
from readme import sections, table
from runtimes import EXPORTS, WINDOW, WRITTEN, Entrant, entered, pruned, speed, time_in_turns

from liar import PruneSpec, load_model, save_model

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "of any width": {},
    "multiples of 64": {"multiple": 64},
    "of one width": {"allocation": "uniform"},
}
REPEATS = 7
RUNTIMES = [each for each in EXPORTS if each[1] == "onnx"]
COUNTS = {"one": 2 * WINDOW, "written": WRITTEN}


def section() -> str:
    with tempfile.TemporaryDirectory() as scratch:
        entrants = [each for name in SHAPES for each in timed(name, Path(scratch))]
        time_in_turns(entrants, REPEATS)
    found = {name: lost(PruneSpec.create(model=SMOLLM2, ratio=0.5, **choices)) for name, choices in SHAPES.items()}
    rows = []
    for name, spent in found.items():
        speeds = [
            speed(each.seconds[kind], count) for kind, count in COUNTS.items() for each in entrants if each.size == name
        ]
        beside = "" if name == next(iter(SHAPES)) else gain(spent, found[next(iter(SHAPES))])
        rows.append((name, f"{spent.left:.1%}", f"{spent.loss('test')[-1]:.2f} x", beside, *speeds))
    runtimes = [each.runtime for each in entrants if each.size == next(iter(SHAPES))]
    columns = [f"{runtime}, {'read' if kind == 'one' else 'written'}" for kind in COUNTS for runtime in runtimes]
    head = (
        f"{SMOLLM2}, half of the neurons, the default recipe: perplexity over dense, the geometric mean of four texts and "
        f"three seeds, and tokens a second: {WINDOW} of a text that are read, {WRITTEN} that are written; median and quartiles "
        f"of {REPEATS} turns of all models."
    )
    return f"{head}\n\n{table(('layers', 'parameters left', 'loss', 'beside any width', *columns), rows)}"


def timed(name: str, scratch: Path) -> list[Entrant]:
    """A model of this shape in each runtime."""
    folder = scratch / name.replace(" ", "-")
    save_model(pruned(SMOLLM2, **SHAPES[name]), folder)
    dense = load_model(SMOLLM2, "cpu", "float32")
    return list(entered(load_model(str(folder), "cpu", "float32"), dense, name, folder, SMOLLM2, RUNTIMES))


if __name__ == "__main__":
    sections(__doc__, {"shapes": ("Widths that hardware likes", section)})
